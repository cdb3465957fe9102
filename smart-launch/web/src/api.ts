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
  readonly patient: { readonly name: string; readonly birthDate?: string; readonly gender?: 'male' | 'female' | 'other' | 'unknown'; readonly identifiers: readonly { readonly label: string; readonly value: string }[] }
  /** False where the EHR itself says all the time whose record it is; the page then says it when asked, and at the signature. */
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
  /** The site's own calibration is in use. */
  readonly calibrated: boolean
  /** Photos older than this many days are shown as old. */
  readonly currentPhotoDays: number
  /** Where a standalone launch begins; an EHR launch begins in the EHR. */
  readonly signInAgain?: string
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
    /** None in shadow mode, and no count: what the model said is withheld. */
    readonly findings: readonly JointFinding[]
    readonly count?: HandJointCount
    readonly photos: readonly PhotoView[]
    readonly recorded: boolean
  }
  /** What this person entered for these photos and has not signed. */
  readonly draft?: DraftView
  /** A signature of this person for these photos of which nobody knows yet what became. */
  readonly sent?: SentSignature
  /** The newest signature of this person for these photos that is in the record. */
  readonly newestSignature?: string
  /** Where there is none: what this person entered last for other photos of this patient and has not signed. */
  readonly earlierDraft?: DraftView
  /** Calls that this person made on other photos of this patient and has not signed. */
  readonly earlierCalls?: Pick<DraftView, 'screeningId' | 'decisions'>
  /** The screening of other photos whose signed findings this person began to correct, and has not signed. */
  readonly earlierCorrection?: string
  /** Photos were asked for by their screening, and there are newer ones. */
  readonly isEarlier?: boolean
  /** From which probability on a joint is flagged. */
  readonly threshold: number
  /** Newest first, the latest among them. */
  readonly history: readonly EarlierVisit[]
}

export interface EarlierVisit {
  readonly id: string
  readonly photoTime: string
  readonly count?: HandJointCount
  readonly findings: readonly JointFinding[]
  readonly photos: readonly { readonly id: string; readonly sides: readonly Laterality[] }[]
}

/** Treatment, laboratory and signed scores of the record; a part that is absent says why. */
export interface ContextView {
  readonly treatments?: readonly { readonly name: string; readonly started: string }[]
  readonly laboratory?: Partial<Record<LaboratoryName, LaboratoryValue>>
  readonly scores?: readonly { readonly index: ActivityIndex; readonly value: number; readonly at: string }[]
  /** What clinicians signed for the photos that are shown. */
  readonly signed?: SignedByClinicians
  readonly absent: Partial<Record<'treatments' | 'laboratory' | 'signed', 'not-granted' | 'failed'>>
}

export interface SignedByClinicians {
  readonly joints: readonly SignedByClinician[]
  readonly tender: readonly SignedPlace[]
  readonly swollen: readonly SignedPlace[]
  readonly numbers: readonly SignedNumber[]
}

export interface SignedBy {
  readonly at?: string
  readonly own: boolean
  readonly by?: string
  /** Signed in the examination that is going on: it is counted with what is marked now. */
  readonly sameExamination: boolean
}
export interface SignedPlace extends JointOf28, SignedBy {}
export interface SignedNumber extends SignedBy { readonly name: keyof ActivityInputs | ActivityIndex; readonly value: number }

export interface SignedByClinician extends SignedBy {
  readonly side: Laterality
  readonly joint: HandJoint
  readonly call: ReviewCall
  /** What stood there before it was corrected, oldest first. */
  readonly earlier?: readonly { readonly call?: ReviewCall; readonly at?: string; readonly own: boolean; readonly by?: string }[]
}

/** All that was signed for a screening, as a correction begins with it. */
export interface SignedView {
  readonly decisions: readonly Decision[]
  readonly examined: { readonly tender: readonly JointOf28[]; readonly swollen: readonly JointOf28[] }
  readonly activity: ActivityInputs
  /** Sent back with the correction: what it saw. */
  readonly seen: Readonly<Record<string, string>>
  readonly uncorrectable?: 'not-granted' | 'no-updates'
  readonly entries: readonly { readonly reference: string; readonly words: string; readonly own: boolean; readonly by?: string; readonly at?: string }[]
}
export type LaboratoryName = 'crpMgPerL' | 'esrMmPerH'

/** What is previewed and signed. */
export interface Review {
  readonly screeningId: string
  readonly decisions: readonly Decision[]
  readonly activity?: ActivityInputs
  readonly examined?: { readonly tender: readonly JointOf28[]; readonly swollen: readonly JointOf28[] }
  /** A correction: all of the above is what shall stand. */
  readonly corrects?: Readonly<Record<string, string>>
}

/** The server's answer to a preview, sent back with the signature. */
export interface Previewed { readonly at: string; readonly digest: string }

export interface SentSignature { readonly review: Review; readonly previewed: Previewed; readonly entered: DraftView }

/** How many of the resources of a signature the record holds. */
export interface Held {
  readonly there: number
  readonly of: number
  /** The record has not answered it yet: more may come. */
  readonly isUnderWay?: true
}

export interface DraftView {
  readonly screeningId: string
  readonly decisions: readonly Decision[]
  readonly tender: readonly JointOf28[]
  readonly swollen: readonly JointOf28[]
  readonly examinedAll: boolean
  readonly typed: Readonly<Partial<Record<'patientGlobal' | 'physicianGlobal' | 'crpMgPerL' | 'esrMmPerH', string>>>
  readonly corrects?: Readonly<Record<string, string>>
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
    throw new ApiError('offline', 'The connection was lost. Try again.')
  }
  // A proxy answers with a page of its own, a lost connection with half an answer: neither says anything about what happened.
  const body: unknown = response.status === 204 ? {} : await response.json().catch(() => undefined)
  if (response.ok && body !== undefined) return body as Answer
  const issue = (body as { issue?: { details?: { text?: string }; diagnostics?: string }[] } | undefined)?.issue?.[0]
  const code = issue?.details?.text ?? 'ERR_INTERNAL'
  // Not for any 401: a proxy's own is no word of the session.
  if (code === 'ERR_SESSION') window.dispatchEvent(new Event(SESSION_ENDED))
  throw new ApiError(code, issue?.diagnostics ?? 'Something went wrong.')
}

/** Errors that leave open whether the server did what it was asked to do. */
const WITHOUT_ANSWER = ['offline', 'ERR_INTERNAL']

/** A call that writes to the record: where no answer came back, it may have been written all the same, and sending it again writes nothing twice. */
async function write<Answer>(path: string, init: RequestInit): Promise<Answer> {
  try {
    return await call<Answer>(path, init)
  } catch (error) {
    if (!(error instanceof ApiError && WITHOUT_ANSWER.includes(error.code))) throw error
    throw new ApiError('ERR_WRITE_AMBIGUOUS', 'No answer came back, so it is not known whether it was written. Try again: nothing is written twice.')
  }
}

/** Sent to the window by whichever request first finds that the session is over. */
export const SESSION_ENDED = 'jointlens:session-ended'

const post = (csrf: string, body: unknown): RequestInit => ({
  method: 'POST',
  headers: { 'content-type': 'application/json', 'x-jointlens-csrf': csrf },
  body: JSON.stringify(body)
})

/** A photo on its way: sent only after the person agreed to the words of this version. */
export interface PhotoOnItsWay { readonly blob: Blob; readonly side: Laterality; readonly takenAt: number; readonly camera: string }

function photoRequest(to: 'check' | 'save', csrf: string, { blob, side, takenAt, camera }: PhotoOnItsWay): readonly [string, RequestInit] {
  const query = new URLSearchParams({ side, camera, consent: CONSENT_VERSION, age: String(Math.max(0, Date.now() - takenAt)) })
  return [`/capture/${to}?${query}`, { method: 'POST', headers: { 'content-type': blob.type, 'x-jointlens-csrf': csrf }, body: blob }]
}

export const checkPhoto = (csrf: string, photo: PhotoOnItsWay) => call<PhotoVerdict>(...photoRequest('check', csrf, photo))
export const savePhoto = (csrf: string, photo: PhotoOnItsWay) => write<{ reference: string }>(...photoRequest('save', csrf, photo))
export const readSaved = () => call<{ saved: readonly Laterality[] }>('/capture')
export const capturePage = `/smart/capture/${handle}`
export const reviewPage = `/smart/app/${handle}`
export const readSession = () => call<SessionView>('/session')
/** Of the newest photos, or of those that the page's address names. */
export const readReview = () => call<ReviewView>(`/review${location.search}`)
export const pageOfPhotos = (screening: string) => `${reviewPage}?${new URLSearchParams({ screening })}`
export const readContext = (screening: string) => call<ContextView>(`/context?${new URLSearchParams({ screening })}`)
export const readSigned = (screening: string) => call<SignedView>(`/signed?${new URLSearchParams({ screening })}`)
export const requestScreening = (csrf: string) => call('/screen', post(csrf, {}))
/** `knows`: the newest signature that the page knows of. */
export const keepDraft = (csrf: string, draft: DraftView, knows: string | undefined) => call('/draft', { ...post(csrf, { ...draft, knows }), method: 'PUT', keepalive: true })
export const logout = (csrf: string) => call('/logout', post(csrf, {}))
export const preview = (csrf: string, review: Review) => call<{ resources: readonly object[]; signer?: string; previewed: Previewed }>('/preview', post(csrf, review))
export const sign = (csrf: string, review: Review, previewed: Previewed, entered: DraftView) => write<{ written: readonly string[] }>('/sign', post(csrf, { review, previewed, entered }))
export const readHeld = (csrf: string, review: Review, previewed: Previewed) => call<Held>('/held', post(csrf, { review, previewed }))
export const photoUrl = (photo: string) => `${base}/photos/${encodeURIComponent(photo)}`
export const closeUpUrl = (photo: string, side: Laterality, joint: HandJoint) => `${photoUrl(photo)}?side=${side}&joint=${joint}`
export const readMap = (photo: string, side: Laterality, joint: HandJoint) => call<OcclusionMap>(`/photos/${encodeURIComponent(photo)}/map?side=${side}&joint=${joint}`)
