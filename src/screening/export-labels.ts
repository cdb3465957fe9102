import { randomInt } from 'node:crypto'
import { isScreeningError } from '../errors.ts'
import { signedCalls, type SignedCall } from '../fhir/signed-calls.ts'
import type { FhirSession } from '../fhir/session.ts'
import type { InferenceEngine } from '../inference/engine/inference-engine.ts'
import type { HandAssessment, PhotoRegion } from '../joints/finding.ts'
import { LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import { openResultStore } from './result-store.ts'
import { readScreenedPhoto } from './screened-photo.ts'
import { photoThatSpeaks, screeningSources } from './screening-input.ts'
import type { Screening } from './screening.ts'
import type { Store } from './store/open-store.ts'

/** One hand of one visit, without anything that names the patient. */
export interface LabelledHand {
  /** `p0001`, …: drawn anew for every export. */
  readonly patient: string
  /** 1, 2, …: the patient's labelled visits in the order of their photos; no dates. */
  readonly visit: number
  readonly side: Laterality
  /** Upright JPEG of the hand alone, without metadata. */
  readonly photo: Uint8Array
  readonly calls: readonly SignedCall[]
}

export interface LabelExport {
  readonly patients: number
  readonly hands: number
  readonly joints: number
  readonly swollen: number
  /** Screenings nobody has signed a joint of: no labels. */
  readonly unsigned: number
  /** Hands whose photo the record no longer gives, or on which no hand had been found. */
  readonly withoutPhoto: number
  /** Answers to cards. Most say whether a card was of use, not which joint is swollen, and are no labels. */
  readonly cardsAnswered: number
  /** Joints that a card had called swollen and the clinician, after examining them, not (override reason `not-swollen`). */
  readonly overruledOnCards: number
}

interface ExportDeps {
  readonly store: Store
  readonly session: FhirSession
  readonly engine: Pick<InferenceEngine, 'renderPhoto'>
  readonly tenant: string
  write(hand: LabelledHand): Promise<void>
  onProgress?(done: number, total: number): void
}

/** Of the box around the hand's landmarks, on every side: enough for the locator, too little for a face. */
const MARGIN = 0.35
const MAX_SIDE_PX = 1600

/**
 * Every joint that a clinician of the site signed, with the photo it was signed on: from the store which photo and screening,
 * from the record what was signed; and the joints of a card that was set aside because they were examined and not swollen, where
 * nobody signed otherwise. The AI's own calls are never labels, accepted or not: a model must not learn from itself.
 * Throws ERR_EHR_*; a photo that is gone is left out and counted.
 */
export async function exportLabels({ store, session, engine, tenant, write, onProgress }: ExportDeps): Promise<LabelExport> {
  const results = openResultStore(store)
  const patients = shuffled(await results.patients(tenant))
  const total = { patients: 0, hands: 0, joints: 0, swollen: 0, unsigned: 0, withoutPhoto: 0, cardsAnswered: await answeredCards(store, tenant), overruledOnCards: 0 }
  const overruled = await overruledScreenings(store, tenant)
  for (const [index, patientId] of patients.entries()) {
    const patient = `p${String(total.patients + 1).padStart(4, '0')}`
    let visit = 0
    for (const screening of await results.everShown(tenant, patientId)) {
      const signed = await signedCalls(session, { tenant, patientId, screeningId: screening.id, model: screening.model, photos: screeningSources(screening).photos })
      const calls = [...signed, ...(overruled.has(screening.id) ? overruledCalls(screening, signed) : [])]
      if (calls.length === 0) {
        total.unsigned++
        continue
      }
      const hands = await labelledHands(screening, calls, { session, engine })
      total.withoutPhoto += hands.missing
      if (hands.found.length > 0) visit++
      for (const hand of hands.found) {
        await write({ patient, visit, ...hand })
        total.hands++
        total.joints += hand.calls.length
        total.swollen += hand.calls.filter(({ swollen }) => swollen).length
        total.overruledOnCards += hand.calls.filter(({ how }) => how === OVERRULED).length
      }
    }
    if (visit > 0) total.patients++
    onProgress?.(index + 1, patients.length)
  }
  return total
}

const OVERRULED = 'card-examined-not-swollen'

/** What the card had called swollen. Only the last answer to a card counts. */
function overruledCalls({ findings }: Screening, signed: readonly SignedCall[]): readonly SignedCall[] {
  return findings
    .filter((one) => one.kind === 'assessed' && one.inflamed && !signed.some(({ side, joint }) => side === one.side && joint === one.joint))
    .map(({ side, joint }) => ({ side, joint, swollen: false, how: OVERRULED }))
}

async function overruledScreenings(store: Store, tenant: string): Promise<ReadonlySet<string>> {
  const rows = await store.query<{ screening_id: string }>(
    `select screening_id from (
       select distinct on (f.card_uuid) c.screening_id, f.outcome, f.override_reason ->> 'code' as reason
       from feedback f join card c on c.tenant = f.tenant and c.uuid = f.card_uuid
       where f.tenant = $1 and c.screening_id is not null order by f.card_uuid, f.outcome_at desc) last
     where outcome = 'overridden' and reason = 'not-swollen'`, [tenant])
  return new Set(rows.map(({ screening_id: id }) => id))
}

async function labelledHands(screening: Screening, calls: readonly SignedCall[], { session, engine }: Pick<ExportDeps, 'session' | 'engine'>) {
  const found: Pick<LabelledHand, 'side' | 'photo' | 'calls'>[] = []
  let missing = 0
  for (const side of LATERALITIES) {
    const own = calls.filter((call) => call.side === side)
    if (own.length === 0) continue
    const photo = await handPicture(screening, side, { session, engine })
    if (photo) found.push({ side, photo, calls: own })
    else missing++
  }
  return { found, missing }
}

async function handPicture(screening: Screening, side: Laterality, { session, engine }: Pick<ExportDeps, 'session' | 'engine'>): Promise<Uint8Array | undefined> {
  const source = photoThatSpeaks(screening.photos, side)
  if (!source) return undefined
  try {
    const bytes = await readScreenedPhoto(session, screening.patientId, source.photo)
    return await engine.renderPhoto(bytes, { maxSidePx: MAX_SIDE_PX, region: boxOf(source.hand) })
  } catch (error) {
    if (isScreeningError(error) && (error.code.startsWith('ERR_PHOTO_') || error.code === 'ERR_NOT_FOUND')) return undefined
    throw error
  }
}

/** The hand's landmarks and a margin; the renderer clips it to the photo. */
export function boxOf({ landmarks }: Pick<HandAssessment, 'landmarks'>): PhotoRegion {
  const [xs, ys] = [landmarks.map(({ x }) => x), landmarks.map(({ y }) => y)]
  const [left, top] = [Math.min(...xs), Math.min(...ys)]
  const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top]
  const margin = MARGIN * Math.max(width, height)
  return { x: left - margin, y: top - margin, width: width + 2 * margin, height: height + 2 * margin }
}

async function answeredCards(store: Store, tenant: string): Promise<number> {
  const [row] = await store.query<{ count: number }>('select count(*)::int as count from feedback where tenant = $1', [tenant])
  return row?.count ?? 0
}

/** Numbers in the order of names or ids would say who is who. */
function shuffled<T>(values: readonly T[]): readonly T[] {
  const order = [...values]
  for (let last = order.length - 1; last > 0; last--) {
    const other = randomInt(last + 1);
    [order[last], order[other]] = [order[other] as T, order[last] as T]
  }
  return order
}
