import type { ErrorCode } from '../errors.ts'
import type { JointFinding, ModelIdentity, PhotoAssessment } from '../joints/finding.ts'
import type { HandJointCount } from '../joints/hand-joint-count.ts'
import type { JointAt } from '../joints/hand-joint.ts'

/**
 * accepted → leased → photos read → inferred → (writing → verifying →) done; or refused (a fact about photo, patient or
 * consent), parked (token or server, retried later with an alert), dead-letter (three tries of a poison job).
 */
export type ScreeningState = 'accepted' | 'leased' | 'inferred' | 'writing' | 'done' | 'refused' | 'parked' | 'dead-letter'

export interface PatientOfTenant {
  readonly tenant: string
  readonly patientId: string
}

/** One photo as the record names it. */
export interface PhotoReference {
  readonly resourceType: 'Media' | 'DocumentReference'
  readonly id: string
  readonly versionId?: string
  /** When the photo was taken (Media.created), ISO 8601. */
  readonly created?: string
  /** Which of several photos of one document (HandPhoto). */
  readonly part?: number
}

export interface ScreenedPhoto extends PhotoReference {
  /** Of the bytes; of its reference when the record's copy could not be read at all. */
  readonly sha256: string
  readonly assessment: PhotoAssessment
  /** The same picture under other names at the same visit: read and counted once. */
  readonly copies?: readonly PhotoReference[]
  /** The file could not be decoded, and why: ERR_PHOTO_*. Its assessment then has no size and no hands. */
  readonly refused?: ErrorCode
}

/** What a clinician signed in the app. */
export interface SignedAnswers {
  /** ISO 8601. */
  readonly at: string
  readonly joints: readonly JointAt[]
  /** After a correction: what was signed before and is not among them stands no more. */
  readonly isAll: boolean
}

export interface SetAside {
  /** ISO 8601. */
  readonly at: string
  /** None where the reason was given in words alone. */
  readonly reason?: { readonly system?: string; readonly code?: string }
}

/** How screenings end of patients of whom nothing is said, and nothing touched any more: no consent, no adult. What lies in the record is the record's. */
export const UNTOUCHED: readonly string[] = ['ERR_FORBIDDEN', 'ERR_PATIENT_MINOR']

/** One screening = one patient's newest hand photos, read by one model. */
export interface Screening {
  readonly id: string
  readonly tenant: string
  readonly patientId: string
  /** Part of what it is written under in the record (ResultOwner); absent as long as nothing of it was retired there. */
  readonly edition?: number
  readonly state: ScreeningState
  readonly photos: readonly ScreenedPhoto[]
  /** 22 findings, left then right, HAND_JOINTS order. */
  readonly findings: readonly JointFinding[]
  readonly count: HandJointCount
  readonly model: ModelIdentity
  /** The day of the newest photo, ISO date-time; the effective time of the result. */
  readonly photoTime: string
  readonly completedAt: string
  /** When the EHR says that a clinician accepted its suggestion, ISO 8601: whether the EHR then wrote it, only the record knows. */
  readonly accepted?: string
  /** When clinicians had signed, in the app, an answer to every joint that it calls swollen, ISO 8601: that stands before what the model suggests. */
  readonly signed?: string
  /** The joints of which clinicians signed an answer in the app, and when they last did, ISO 8601. */
  readonly answered?: { readonly at: string; readonly joints: readonly JointAt[] }
  /** By the id of a CDS service: how a clinician last set a card of this result aside there with a reason, as the EHR reports. */
  readonly setAside?: Readonly<Record<string, SetAside>>
  /** References of what our own writer wrote (`Observation/…`), empty when nothing was written. */
  readonly written: readonly string[]
}

export interface ScreeningStatus {
  readonly latest?: Screening
  /** The visit before it with a joint that could be assessed, for the change since. */
  readonly before?: Screening
  /** A screening is accepted or running. */
  readonly pending: boolean
  /** Set when the last attempt ended without a result. */
  readonly failure?: { readonly code: string; readonly at: string }
  /** Set when it waits for the server and comes back by itself: when. */
  readonly dueAt?: string
}

/** What the hooks, the app and the command line ask of screening. Tenants never meet. */
export interface ScreeningService {
  status(tenant: string, patientId: string): Promise<ScreeningStatus>
  /** Completed screenings, newest photo first. */
  history(tenant: string, patientId: string): Promise<readonly Screening[]>
  /** A clinician signed an answer to these joints. */
  signed(tenant: string, screeningId: string, answers: SignedAnswers): Promise<void>
  /** Durably accepts the work (idempotent while one is pending) and wakes a worker; never waits for inference. */
  request(tenant: string, patientId: string, reason: 'hook' | 'app' | 'previsit' | 'notification' | 'command'): Promise<void>
  /**
   * Waits until the patient's pending screening ends; for commands and tests, never for hooks. One that waits for the server
   * is waited for when it comes back within `waitForParkedMs`.
   */
  settled(tenant: string, patientId: string, options?: { timeoutMs?: number; waitForParkedMs?: number }): Promise<ScreeningStatus>
}
