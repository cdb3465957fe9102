import { useEffect, useState } from 'react'
import { LATERALITIES, type Laterality } from '../../../src/joints/hand-joint.ts'
import { ApiError, readSaved, readSession, requestScreening, reviewPage, type SessionView } from './api.ts'
import { CAPTURE_WORDS, captureErrorWords, CaptureWordsProvider, useCaptureWords } from './capture-words.ts'
import { dayOf } from './dates.ts'
import { HandCapture } from './hand-capture.tsx'

/** Photos of both hands, left then right. Nothing leaves the device before the person agreed. */
export function CapturePage() {
  const [session, setSession] = useState<SessionView>()
  const [saved, setSaved] = useState<readonly Laterality[]>([])
  const [fault, setFault] = useState<ApiError>()
  useEffect(() => {
    Promise.all([readSession(), readSaved()]).then(([opened, before]) => {
      setSaved(before.saved)
      setSession(opened)
    }, (error: unknown) => setFault(error instanceof ApiError ? error : new ApiError('ERR_INTERNAL', String(error))))
  }, [])
  const language = session?.language ?? (navigator.language.startsWith('de') ? 'de' : 'en')
  useEffect(() => {
    document.documentElement.lang = language
    document.title = `JointLens – ${CAPTURE_WORDS[language].title}`
  }, [language])
  return <CaptureWordsProvider value={CAPTURE_WORDS[language]}><Page session={session} saved={saved} fault={fault} /></CaptureWordsProvider>
}

function Page({ session, saved, fault }: { session: SessionView | undefined; saved: readonly Laterality[]; fault: ApiError | undefined }) {
  const c = useCaptureWords()
  if (fault) return <main className="notice"><h1>{fault.code === 'ERR_SESSION' ? c.ended : c.failed}</h1><p>{captureErrorWords(c, fault)}</p></main>
  if (!session) return <main className="notice" aria-busy="true"><h1>{c.loading}</h1></main>
  return (
    <>
      <header>
        <div>
          <p className="brand">JointLens</p>
          <h1>{c.title}</h1>
          <p>{c.forPatient(session.patient.name, session.patient.birthDate ? dayOf(c, session.patient.birthDate) : '')}</p>
        </div>
        <p className="badge">{c.badge}</p>
      </header>
      <main className="capture">{session.canSavePhotos ? <Sitting session={session} before={saved} /> : <p>{c.notAllowed}</p>}</main>
    </>
  )
}

/** The person agrees once for both hands; `before` was saved in this session already, before the page was loaded again. */
function Sitting({ session, before }: { session: SessionView; before: readonly Laterality[] }) {
  const c = useCaptureWords()
  const [agreed, setAgreed] = useState(false)
  const [saved, setSaved] = useState<readonly Laterality[]>(before)
  const [passed, setPassed] = useState<readonly Laterality[]>([])
  const side = LATERALITIES.find((one) => !saved.includes(one) && !passed.includes(one))
  const done = side === undefined
  useEffect(() => {
    if (done && saved.length > 0) void requestScreening(session.csrf).catch(() => undefined)
  }, [done, saved.length, session.csrf])
  const last = saved.at(-1)
  return (
    <>
      <p role="status" className="saved">{last && !done ? c.saved(c.hand[last]) : ''}</p>
      {side
        ? <HandCapture key={side} side={side} csrf={session.csrf} done={saved.length + passed.length} agreed={agreed} onAgree={() => setAgreed(true)}
            onSaved={() => setSaved([...saved, side])} onSkip={() => setPassed([...passed, side])} />
        : <Done count={saved.length} clinician={!session.patientLaunch} />}
    </>
  )
}

function Done({ count, clinician }: { count: number; clinician: boolean }) {
  const c = useCaptureWords()
  return (
    <section>
      <h2>{c.done}</h2>
      <p>{count === LATERALITIES.length ? c.doneBoth : c.doneSome(count)}</p>
      {clinician ? <p><a className="button primary" href={reviewPage}>{c.review}</a></p> : <p>{c.patientEnd}</p>}
    </section>
  )
}
