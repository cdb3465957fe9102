import type { ExaminedJoints } from '../../src/fhir/resources/clinician-resources.ts'
import { unsignedOf } from '../unsigned.ts'
import { SESSION_SECONDS, sha256, type AppSession, type SessionStore } from './app-session.ts'
import type { Previewed, ReviewDecision, SignedReview } from './review-desk.ts'

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

/** A signature that was sent and of which nobody knows yet what became: a page that is loaded meanwhile looks for it. */
export interface SentSignature {
  readonly screeningId: string
  readonly review: SignedReview
  readonly previewed: Previewed
  /** The draft as it stood when it was sent. */
  readonly entered: Draft
  /** Milliseconds since the epoch. */
  readonly sentAt: number
  /** No answer of the record is waited for any more. */
  readonly isOver?: boolean
}

/** Signatures that are in the record, oldest first: a draft that was on its way meanwhile still holds what they signed. */
interface Signatures {
  readonly screeningId: string
  readonly all: readonly Pick<SentSignature, 'review' | 'previewed' | 'entered'>[]
}
const SIGNATURES_KEPT = 20

/**
 * Drafts by tenant, patient, person and screening, for eight hours: a reload, a dropped connection, an ended session or another computer
 * finds them again. They lie in the store beside the sessions and never in the browser; the record knows nothing of them. Beside them, for as long, what
 * was signed of them: the draft of a page that does not know of a signature yet never brings back what is signed.
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
  const nameOfSent = (session: AppSession, screeningId: string) => `sent:${nameOf(session, screeningId)}`
  const nameOfSigned = (session: AppSession, screeningId: string) => `signed:${nameOf(session, screeningId)}`
  const signed = async (session: AppSession, screeningId: string) => ((await sessions.get(nameOfSigned(session, screeningId))) as Signatures | undefined)?.all ?? []
  const sent = async (session: AppSession, screeningId: string) =>
    session.fhirUser === undefined ? undefined : (await sessions.get(nameOfSent(session, screeningId))) as SentSignature | undefined

  async function put(session: AppSession, draft: Draft): Promise<void> {
    if (isEmpty(draft)) return forget(session, draft.screeningId)
    await sessions.put(nameOf(session, draft.screeningId), draft, SESSION_SECONDS)
    const last = await newest(session)
    if (last && last.screeningId !== draft.screeningId) await sessions.put(beforeOf(session), last, SESSION_SECONDS)
    await sessions.put(newestOf(session), draft, SESSION_SECONDS)
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
    /**
     * Without a person behind it nothing is kept: another one might find it. An empty draft is no draft. `knows` is the time of the newest
     * signature that the page knows of: what was signed since is not entered any more.
     */
    async keep(session: AppSession, draft: Draft, knows?: string): Promise<void> {
      if (session.fhirUser === undefined) return
      const all = await signed(session, draft.screeningId)
      const unknown = all.slice(all.findIndex(({ previewed }) => previewed.at === knows) + 1)
      await put(session, unknown.reduce((rest, { entered, review }) => unsignedOf(rest, entered, review.activity), draft))
    },

    /** A signature goes to the record: with what was entered, so that nothing is lost whatever becomes of it. */
    async send(session: AppSession, sending: SentSignature): Promise<void> {
      await put(session, sending.entered)
      await sessions.put(nameOfSent(session, sending.screeningId), sending, SESSION_SECONDS)
    },

    sent,

    /** The record gave no answer to it that could be believed: it is to be looked for. */
    async unanswered(session: AppSession, { screeningId, previewed }: SentSignature): Promise<void> {
      const one = await sent(session, screeningId)
      if (one?.previewed.at === previewed.at) await sessions.put(nameOfSent(session, screeningId), { ...one, isOver: true }, SESSION_SECONDS)
    },

    /** Nothing of it was written, or nobody has to look for it any more. */
    async unsent(session: AppSession, screeningId: string, at: string): Promise<void> {
      if ((await sent(session, screeningId))?.previewed.at === at) await sessions.delete(nameOfSent(session, screeningId))
    },

    /** All of it is in the record: what of the draft it did not sign stays. */
    async signed(session: AppSession, one: Pick<SentSignature, 'screeningId' | 'review' | 'previewed' | 'entered'>): Promise<void> {
      const { screeningId, review, previewed, entered } = one
      const all = await signed(session, screeningId)
      if (!all.some(({ previewed: { at } }) => at === previewed.at)) {
        await sessions.put(nameOfSigned(session, screeningId), { screeningId, all: [...all, { review, previewed, entered }].slice(-SIGNATURES_KEPT) }, SESSION_SECONDS)
        const draft = (await sessions.get(nameOf(session, screeningId))) as Draft | undefined
        if (draft) await put(session, unsignedOf(draft, entered, review.activity))
      }
      if ((await sent(session, screeningId))?.previewed.at === previewed.at) await sessions.delete(nameOfSent(session, screeningId))
    },

    /** The time of the preview of the newest signature: the page says with its drafts that it knows of it. */
    async newestSignature(session: AppSession, screeningId: string): Promise<string | undefined> {
      return session.fhirUser === undefined ? undefined : (await signed(session, screeningId)).at(-1)?.previewed.at
    }
  }
}

function isEmpty({ decisions, tender, swollen, examinedAll, typed, corrects }: Draft): boolean {
  return corrects === undefined && decisions.length + tender.length + swollen.length + Object.keys(typed).length === 0 && !examinedAll
}
