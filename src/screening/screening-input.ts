import type { Calibration } from '../inference/engine/inference-engine.ts'
import { resultIds } from '../fhir/resources/result-ids.ts'
import type { ScreeningInput, SourcePhoto } from '../fhir/resources/screening-resources.ts'
import { handThatSpeaks } from '../joints/hand-joint-count.ts'
import type { HandAssessment, PhotoRegion } from '../joints/finding.ts'
import { HAND_JOINTS, LATERALITIES, type Laterality } from '../joints/hand-joint.ts'
import type { ScreenedPhoto, Screening } from './screening.ts'

/** A stored screening as the record's resources need it: the same input for our own writer, the card's suggestion and the app. */
export function screeningInput(screening: Screening, calibration: Calibration, encounterId?: string): ScreeningInput {
  const regions = Object.fromEntries(LATERALITIES.flatMap((side): [Laterality, readonly PhotoRegion[]][] => {
    const hand = photoThatSpeaks(screening.photos, side)?.hand
    return hand ? [[side, hand.regions]] : []
  }))
  return {
    tenant: screening.tenant,
    patientId: screening.patientId,
    ...(encounterId ? { encounterId } : {}),
    ...screeningSources(screening),
    findings: screening.findings,
    regions,
    count: screening.count,
    intervalLevel: calibration.interval.level,
    model: screening.model,
    thresholds: { name: 'f1', value: calibration.thresholds.f1 },
    photoTime: screening.photoTime,
    issued: screening.completedAt
  }
}

/** The photos a result rests on, which of them speaks for a side, and the edition: what its deterministic ids are made of. */
export function screeningSources({ photos, edition }: Pick<Screening, 'photos' | 'edition'>): Pick<ScreeningInput, 'photos' | 'photoOf' | 'edition'> {
  return {
    ...(edition === undefined ? {} : { edition }),
    photos: photos.map(sourceOf),
    photoOf(side) {
      const photo = photoThatSpeaks(photos, side)?.photo
      return photo && sourceOf(photo)
    }
  }
}

/** Under which ids a result's Observations and its report lie in the record: all of it that has a status to be changed. */
export function writtenIds(screening: Pick<Screening, 'tenant' | 'patientId' | 'photos' | 'edition' | 'model'>): readonly string[] {
  const { photos, photoOf } = screeningSources(screening)
  const ids = resultIds(screening, photos, screening.model)
  return [ids.report, ids.count, ...LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ids.joint(photoOf(side), side, joint)))]
}

/** Under which id its Provenance is in our ledger; R4 Provenance carries no identifier. */
export function provenanceId(screening: Pick<Screening, 'tenant' | 'patientId' | 'photos' | 'edition' | 'model'>): string {
  return resultIds(screening, screeningSources(screening).photos, screening.model).provenance
}

/** The photo whose hand speaks for a side (visitFindings' rule), with that hand. */
export function photoThatSpeaks(photos: readonly ScreenedPhoto[], side: Laterality): { photo: ScreenedPhoto; hand: HandAssessment } | undefined {
  const hands = photos.flatMap((photo) => photo.assessment.hands.filter((hand) => hand.side === side).map((hand) => ({ photo, hand })))
  const speaks = handThatSpeaks(hands.map(({ hand }) => hand))
  return hands.find(({ hand }) => hand === speaks)
}

function sourceOf({ resourceType, id, versionId, created, part }: ScreenedPhoto): SourcePhoto {
  return { resourceType, id, ...(versionId ? { versionId } : {}), ...(created ? { created } : {}), ...(part === undefined ? {} : { part }) }
}
