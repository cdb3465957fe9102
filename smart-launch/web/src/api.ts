import type { ActivityIndex, ActivityInputs } from '../../../src/joints/activity-scores.ts'
import type { HandAssessment, JointFinding, ModelIdentity } from '../../../src/joints/finding.ts'
import type { HandJointCount } from '../../../src/joints/hand-joint-count.ts'
import type { HandJoint, JointOf28, Laterality } from '../../../src/joints/hand-joint.ts'
import type { LaboratoryValue } from '../../../src/joints/laboratory.ts'
import type { OcclusionMap } from '../../../src/joints/occlusion-map.ts'
import type { PhotoVerdict } from '../../../src/joints/photo-verdict.ts'
import { CONSENT_VERSION } from '../../consent.ts'

export type { HandAssessment, HandJoint, HandJointCount, JointFinding, Laterality }
export type ReviewCall = 'swollen' | 'not-swollen' | 'not-assessable'

export interface SessionView {
  readonly patient: { readonly name: string; readonly birthDate?: string }
  readonly needPatientBanner: boolean
  readonly canSign: boolean
  readonly canSavePhotos: boolean
  /** A patient or relative launched: no findings are shown. */
  readonly patientLaunch: boolean
  readonly ehr: string
  readonly language: 'en' | 'de'
  readonly mode: 'shadow' | 'assist'
  readonly model: ModelIdentity
  readonly calibration: string
  readonly csrf: string
}

export interface PhotoView {
  readonly id: string
  readonly created?: string
  readonly width: number
  readonly height: number
  readonly refusal?: string
  readonly hands: readonly HandAssessment[]
}

export interface ReviewView {
  readonly pending: boolean
  readonly failure?: { readonly code: string; readonly at: string }
  readonly latest?: {
    readonly id: string
    readonly photoTime: string
    readonly findings: readonly JointFinding[]
    readonly count: HandJointCount
    readonly photos: readonly PhotoView[]
    readonly recorded: boolean
  }
  /** Newest first, the latest among them. */
  readonly history: readonly EarlierVisit[]
}

export interface EarlierVisit {
  readonly id: string
  readonly photoTime: string
  readonly count: HandJointCount
  readonly findings: readonly JointFinding[]
  readonly photos: readonly { readonly id: string; readonly sides: readonly Laterality[] }[]
}

/** Treatment, laboratory and signed scores of the record; a part that is absent says why. */
export interface ContextView {
  readonly treatments?: readonly { readonly name: string; readonly started: string }[]
  readonly laboratory?: Partial<Record<LaboratoryName, LaboratoryValue>>
  readonly scores?: readonly { readonly index: ActivityIndex; readonly value: number; readonly at: string }[]
  readonly absent: Partial<Record<'treatments' | 'laboratory', 'not-granted' | 'failed'>>
}
export type LaboratoryName = 'crpMgPerL' | 'esrMmPerH'

/** What is previewed and signed. */
export interface Review {
  readonly screeningId: string
  readonly decisions: readonly Decision[]
  readonly activity?: ActivityInputs
  readonly examined?: { readonly tender: readonly JointOf28[]; readonly swollen: readonly JointOf28[] }
}

export interface Decision { readonly side: Laterality; readonly joint: HandJoint; readonly call: ReviewCall }

/** The launch handle is the last part of the page's address; the secret that opens it is a cookie no script can read. */
const handle = location.pathname.split('/').at(-1) ?? ''
const base = `/smart/api/${handle}`

export class ApiError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

async function call<Answer>(path: string, init?: RequestInit): Promise<Answer> {
  let response: Response
  try {
    response = await fetch(`${base}${path}`, { credentials: 'same-origin', ...init })
  } catch {
    throw new ApiError('offline', 'The connection was lost. Nothing was written. Try again.')
  }
  const body: unknown = response.status === 204 ? {} : await response.json().catch(() => ({}))
  if (response.ok) return body as Answer
  const issue = (body as { issue?: { details?: { text?: string }; diagnostics?: string }[] }).issue?.[0]
  throw new ApiError(issue?.details?.text ?? 'ERR_INTERNAL', issue?.diagnostics ?? 'Something went wrong. Nothing was written.')
}

const post = (csrf: string, body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-jointlens-csrf': csrf },
  body: JSON.stringify(body)
})

/** A photo on its way: sent only after the person agreed to the words of this version. */
export interface PhotoOnItsWay { readonly blob: Blob; readonly side: Laterality; readonly takenAt: number; readonly camera: string }

function sendPhoto<Answer>(to: 'check' | 'save', csrf: string, { blob, side, takenAt, camera }: PhotoOnItsWay): Promise<Answer> {
  const query = new URLSearchParams({ side, camera, consent: CONSENT_VERSION, age: String(Math.max(0, Date.now() - takenAt)) })
  return call<Answer>(`/capture/${to}?${query}`, { method: 'POST', headers: { 'content-type': blob.type, 'x-jointlens-csrf': csrf }, body: blob })
}

export const checkPhoto = (csrf: string, photo: PhotoOnItsWay) => sendPhoto<PhotoVerdict>('check', csrf, photo)
export const savePhoto = (csrf: string, photo: PhotoOnItsWay) => sendPhoto<{ reference: string }>('save', csrf, photo)
export const capturePage = `/smart/capture/${handle}`
export const reviewPage = `/smart/app/${handle}`
export const readSession = () => call<SessionView>('/session')
export const readReview = () => call<ReviewView>('/review')
export const readContext = () => call<ContextView>('/context')
export const requestScreening = (csrf: string) => call('/screen', post(csrf, {}))
export const preview = (csrf: string, review: Review) => call<{ resources: readonly object[] }>('/preview', post(csrf, review))
export const sign = (csrf: string, review: Review) => call<{ written: readonly string[] }>('/sign', post(csrf, review))
export const photoUrl = (photo: string) => `${base}/photos/${encodeURIComponent(photo)}`
export const closeUpUrl = (photo: string, side: Laterality, joint: HandJoint) => `${photoUrl(photo)}?side=${side}&joint=${joint}`
export const readMap = (photo: string, side: Laterality, joint: HandJoint) => call<OcclusionMap>(`/photos/${encodeURIComponent(photo)}/map?side=${side}&joint=${joint}`)
