import { useCallback, useEffect, useMemo, useState } from 'react'
import { HAND_JOINTS, LATERALITIES, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import {
  ApiError, closeUpUrl, preview, readReview, readSession, requestScreening, sign,
  type Decision, type ReviewCall, type ReviewView, type SessionView
} from './api.ts'
import { diagramLegend, HandDiagram } from './hand-diagram.tsx'
import { PhotoView } from './photo-view.tsx'
import { callWord, dayOf, findingWords, frequency, fullJointName } from './words.ts'

const ALL = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint, key: `${side}-${joint}` })))
const CALL_KEYS: Record<string, ReviewCall> = { s: 'swollen', n: 'not-swollen', x: 'not-assessable' }

export function ReviewPage() {
  const [session, setSession] = useState<SessionView>()
  const [review, setReview] = useState<ReviewView>()
  const [fault, setFault] = useState<ApiError>()

  const load = useCallback(async () => {
    try {
      setSession(await readSession())
      setReview(await readReview())
      setFault(undefined)
    } catch (error) {
      setFault(error instanceof ApiError ? error : new ApiError('ERR_INTERNAL', String(error)))
    }
  }, [])
  useEffect(() => void load(), [load])
  useEffect(() => {
    if (!review?.pending) return
    const timer = setTimeout(() => void load(), 1500)
    return () => clearTimeout(timer)
  }, [review, load])

  if (fault) return <Notice title={fault.code === 'ERR_SESSION' ? 'Your session has ended' : 'JointLens could not load this'} text={fault.message} action={fault.code === 'ERR_SESSION' ? undefined : ['Try again', () => void load()]} />
  if (!session || !review) return <Notice title="Opening the hand photos…" text="Reading the patient's latest photos and findings." busy />
  return (
    <>
      <Header session={session} />
      {review.latest
        ? <Review key={review.latest.id} session={session} latest={review.latest} pending={review.pending} history={review.history} onSigned={() => void load()} />
        : <Empty session={session} review={review} onRequest={() => void requestScreening(session.csrf).then(load)} />}
      <Footer session={session} />
    </>
  )
}

function Header({ session }: { session: SessionView }) {
  return (
    <header>
      <div>
        <p className="brand">JointLens</p>
        <h1>{session.needPatientBanner ? session.patient.name : 'Hand photo review'}</h1>
        {session.needPatientBanner && session.patient.birthDate && <p>born {dayOf(session.patient.birthDate)}</p>}
      </div>
      <p className="badge">Research software · learned from computer-made hands</p>
    </header>
  )
}

type Latest = NonNullable<ReviewView['latest']>

function Review({ session, latest, pending, history, onSigned }: {
  session: SessionView; latest: Latest; pending: boolean; history: ReviewView['history']; onSigned(): void
}) {
  const firstFlagged = latest.findings.find((finding) => finding.kind === 'assessed' && finding.inflamed)
  const [chosen, setChosen] = useState(firstFlagged ? `${firstFlagged.side}-${firstFlagged.joint}` : 'left-wrist')
  const [calls, setCalls] = useState<ReadonlyMap<string, ReviewCall>>(new Map())
  const [marks, setMarks] = useState(true)
  const current = ALL.find(({ key }) => key === chosen) ?? ALL[0]
  const choose = useCallback((side: Laterality, joint: HandJoint) => setChosen(`${side}-${joint}`), [])
  const decide = useCallback((call: ReviewCall | undefined) => setCalls((before) => {
    const next = new Map(before)
    if (call) next.set(chosen, call)
    else next.delete(chosen)
    return next
  }), [chosen])

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const step = event.key === 'ArrowRight' || event.key === 'ArrowDown' ? 1 : event.key === 'ArrowLeft' || event.key === 'ArrowUp' ? -1 : 0
      if (step) {
        const index = ALL.findIndex(({ key }) => key === chosen)
        setChosen(ALL[(index + step + ALL.length) % ALL.length]?.key ?? chosen)
        event.preventDefault()
      } else if (CALL_KEYS[event.key]) decide(CALL_KEYS[event.key])
      else if (event.key === 'm') setMarks((shown) => !shown)
    }
    window.addEventListener('keydown', onKey)
    return () => window.removeEventListener('keydown', onKey)
  }, [chosen, decide])

  const decisions = useMemo<Decision[]>(() => ALL.flatMap(({ side, joint, key }) => {
    const call = calls.get(key)
    return call ? [{ side, joint, call }] : []
  }), [calls])
  const { count } = latest
  if (!current) return null
  return (
    <main>
      <section className="summary" aria-label="Result">
        <p className="count">
          <strong>{count.swollen}</strong> of {count.assessable} assessable hand joints suggested as swollen
          <span> (90 % interval {count.low} to {count.high}; {count.of - count.assessable} not assessable)</span>
        </p>
        <p>Photos of {dayOf(latest.photoTime)}.{pending ? ' Newer photos are being read now.' : ''} AI suggestion, not reviewed. May under-count when many joints are swollen; osteoarthritis nodes can look like swelling.</p>
      </section>
      <div className="columns">
        <section className="photos" aria-label="Photos">
          {latest.photos.map((photo) => <PhotoView key={photo.id} photo={photo} calls={calls} chosen={chosen} marks={marks} onChoose={choose} />)}
          <label className="toggle"><input type="checkbox" checked={marks} onChange={() => setMarks(!marks)} /> Show joint marks (m)</label>
        </section>
        <section className="review" aria-label="Joints">
          <div className="diagrams">
            {LATERALITIES.map((side) => <HandDiagram key={side} side={side} findings={latest.findings} calls={calls} chosen={chosen} onChoose={choose} />)}
          </div>
          <ul className="legend">{diagramLegend.map(([state, words]) => <li key={state} className={state}>{words}</li>)}</ul>
          <JointPanel latest={latest} side={current.side} joint={current.joint} call={calls.get(chosen)} onDecide={decide} />
        </section>
      </div>
      <SignPanel session={session} screeningId={latest.id} decisions={decisions} onSigned={onSigned} />
      {history.length > 1 && (
        <section aria-label="Over time" className="history">
          <h2>Over time</h2>
          <table>
            <thead><tr><th>Photos of</th><th>Suggested swollen</th><th>90 % interval</th><th>Assessable</th></tr></thead>
            <tbody>{history.map((visit) => (
              <tr key={visit.id}><td>{dayOf(visit.photoTime)}</td><td>{visit.count.swollen}</td><td>{visit.count.low} to {visit.count.high}</td><td>{visit.count.assessable} of {visit.count.of}</td></tr>
            ))}</tbody>
          </table>
        </section>
      )}
    </main>
  )
}

function JointPanel({ latest, side, joint, call, onDecide }: {
  latest: Latest; side: Laterality; joint: HandJoint; call: ReviewCall | undefined; onDecide(call: ReviewCall | undefined): void
}) {
  const finding = latest.findings.find((one) => one.side === side && one.joint === joint)
  const photo = latest.photos.find(({ hands }) => hands.some((hand) => hand.side === side))
  if (!finding) return null
  return (
    <div className="joint-panel" aria-live="polite">
      {photo ? <img src={closeUpUrl(photo.id, side, joint)} alt={`Close-up of ${fullJointName(side, joint)}`} width={180} height={180} /> : <div className="no-picture">No photo</div>}
      <div>
        <h2>{fullJointName(side, joint)}</h2>
        <p>{findingWords(finding)}</p>
        {finding.kind === 'assessed' && <p className="probability">{Math.round(finding.probability * 100)} %: {frequency(finding.probability)}</p>}
        <div className="calls" role="group" aria-label={`Your call for ${fullJointName(side, joint)}`}>
          {Object.entries(CALL_KEYS).map(([key, value]) => (
            <button key={value} type="button" aria-pressed={call === value} onClick={() => onDecide(call === value ? undefined : value)}>
              {callWord[value]} <kbd>{key}</kbd>
            </button>
          ))}
        </div>
      </div>
    </div>
  )
}

function SignPanel({ session, screeningId, decisions, onSigned }: {
  session: SessionView; screeningId: string; decisions: readonly Decision[]; onSigned(): void
}) {
  const [resources, setResources] = useState<readonly object[]>()
  const [message, setMessage] = useState('')
  const [busy, setBusy] = useState(false)
  const act = async (work: () => Promise<void>) => {
    setBusy(true)
    try {
      await work()
    } catch (error) {
      setMessage(error instanceof Error ? error.message : String(error))
    } finally {
      setBusy(false)
    }
  }
  useEffect(() => setResources(undefined), [decisions])
  if (!session.canSign) return <section className="sign"><p>Read-only: your EHR sign-in does not allow writing Observations. Findings are shown; nothing can be signed.</p></section>
  return (
    <section className="sign" aria-label="Sign">
      <p>{decisions.length === 0 ? 'Nothing decided yet. Your calls become final Observations in your name; the AI suggestion stays as it was written.' : `${decisions.length} of 22 joints decided.`}</p>
      <div className="actions">
        <button type="button" disabled={busy || decisions.length === 0} onClick={() => void act(async () => setResources((await preview(session.csrf, screeningId, decisions)).resources))}>Preview</button>
        <button type="button" className="primary" disabled={busy || !resources} onClick={() => void act(async () => {
          const { written } = await sign(session.csrf, screeningId, decisions)
          setMessage(`${written.length} resources written to the record.`)
          onSigned()
        })}>Sign and record</button>
      </div>
      {resources && <details open><summary>Exactly this will be written ({resources.length} resources)</summary><pre tabIndex={0}>{JSON.stringify(resources, null, 2)}</pre></details>}
      <p role="status">{message}</p>
    </section>
  )
}

function Empty({ session, review, onRequest }: { session: SessionView; review: ReviewView; onRequest(): void }) {
  if (review.pending) return <Notice title="The hand photos are being read" text="This takes a few seconds. The page shows the findings as soon as they are there." busy />
  const none = review.failure?.code === 'no-photos'
  return <Notice title={none ? 'No hand photos in the record' : 'No findings yet'}
    text={none ? 'Ask for one photo of the back of each hand; JointLens reads them when they are in the record.' : review.failure ? `The last attempt ended with ${review.failure.code}.` : `${session.patient.name} has not been screened yet.`}
    action={['Read the photos now', onRequest]} />
}

function Notice({ title, text, busy, action }: { title: string; text: string; busy?: boolean; action?: readonly [string, () => void] | undefined }) {
  return (
    <main className="notice" aria-busy={busy ?? false}>
      <h1>{title}</h1>
      <p>{text}</p>
      {action && <button type="button" className="primary" onClick={action[1]}>{action[0]}</button>}
    </main>
  )
}

function Footer({ session }: { session: SessionView }) {
  return (
    <footer>
      <p>Model {session.model.name} {session.model.version}, <a href="/models/current" target="_blank" rel="noreferrer">model card</a>. Calibration: {session.calibration}. Trained on computer-made hands only; it has never seen a patient. A photo cannot show tenderness, warmth, elbows, shoulders or knees. Examine the patient.</p>
    </footer>
  )
}
