import type { ExaminedJoints } from '../../src/fhir/resources/clinician-resources.ts'
import { SESSION_SECONDS, sha256, type AppSession, type SessionStore } from './app-session.ts'
import type { ReviewDecision } from './review-desk.ts'

/** What a clinician entered and has not signed, as it stands on the page. */
export interface Draft extends ExaminedJoints {
  readonly screeningId: string
  readonly decisions: readonly ReviewDecision[]
  readonly examinedAll: boolean
  /** As typed, not yet numbers. */
  readonly typed: Readonly<Partial<Record<'patientGlobal' | 'physicianGlobal' | 'crpMgPerL' | 'esrMmPerH', string>>>
  /** The draft is of a correction, which began with these. */
  readonly corrects?: Readonly<Record<string, string>>
}

/**
 * Drafts by tenant, patient, person and screening, for eight hours: a reload, a dropped connection, an ended session or another computer
 * finds them again. They lie in the store beside the sessions and never in the browser; the record knows nothing of them.
 */
export function openDrafts(sessions: SessionStore) {
  const nameOf = ({ tenant, patientId, fhirUser }: AppSession, screeningId: string) => `draft:${sha256(JSON.stringify([tenant, patientId, fhirUser, screeningId]))}`
  const newestOf = ({ tenant, patientId, fhirUser }: AppSession) => `draft:${sha256(JSON.stringify([tenant, patientId, fhirUser]))}`
  const beforeOf = ({ tenant, patientId, fhirUser }: AppSession) => `draft:${sha256(JSON.stringify([tenant, patientId, fhirUser, 'before the newest']))}`
  const newest = async (session: AppSession) => (await sessions.get(newestOf(session))) as Draft | undefined
  const before = async (session: AppSession) => (await sessions.get(beforeOf(session))) as Draft | undefined
  const ofOthers = async (session: AppSession, screeningId: string) =>
    (session.fhirUser === undefined ? [] : [await newest(session), await before(session)]).flatMap((one) => (one && one.screeningId !== screeningId ? [one] : []))
  const forget = async (session: AppSession, screeningId: string): Promise<void> => {
    await sessions.delete(nameOf(session, screeningId))
    if ((await newest(session))?.screeningId === screeningId) await sessions.delete(newestOf(session))
    if ((await before(session))?.screeningId === screeningId) await sessions.delete(beforeOf(session))
  }
  return {
    async of(session: AppSession, screeningId: string): Promise<Draft | undefined> {
      return session.fhirUser === undefined ? undefined : (await sessions.get(nameOf(session, screeningId))) as Draft | undefined
    },
    /** The draft that this person kept last for this patient, when it is of other photos: newer ones were read before it was signed. */
    async ofOtherPhotos(session: AppSession, screeningId: string): Promise<Draft | undefined> {
      const draft = session.fhirUser === undefined ? undefined : await newest(session)
      return draft?.screeningId === screeningId ? undefined : draft
    },
    /** The calls that this person made last on other photos of this patient and has not signed: also when there is a draft of these photos by now. */
    async callsOnOtherPhotos(session: AppSession, screeningId: string): Promise<Pick<Draft, 'screeningId' | 'decisions'> | undefined> {
      const draft = (await ofOthers(session, screeningId)).find(({ corrects, decisions }) => corrects === undefined && decisions.length > 0)
      return draft && { screeningId: draft.screeningId, decisions: draft.decisions }
    },
    /** The screening of other photos of this patient whose signed findings this person began to correct last, and has not signed. */
    async correctionOfOtherPhotos(session: AppSession, screeningId: string): Promise<string | undefined> {
      return (await ofOthers(session, screeningId)).find(({ corrects }) => corrects !== undefined)?.screeningId
    },
    /** Without a person behind it nothing is kept: another one might find it. An empty draft is no draft. */
    async keep(session: AppSession, draft: Draft): Promise<void> {
      if (session.fhirUser === undefined) return
      if (isEmpty(draft)) return forget(session, draft.screeningId)
      await sessions.put(nameOf(session, draft.screeningId), draft, SESSION_SECONDS)
      const last = await newest(session)
      if (last && last.screeningId !== draft.screeningId) await sessions.put(beforeOf(session), last, SESSION_SECONDS)
      await sessions.put(newestOf(session), draft, SESSION_SECONDS)
    },
    forget
  }
}

function isEmpty({ decisions, tender, swollen, examinedAll, typed, corrects }: Draft): boolean {
  return corrects === undefined && decisions.length + tender.length + swollen.length + Object.keys(typed).length === 0 && !examinedAll
}
