import { useCallback, useEffect, useMemo, useState } from 'react'
import type { ActivityInputs } from '../../../src/joints/activity-scores.ts'
import { HAND_JOINTS, LATERALITIES, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { ActivityPanel, type LargeFindings } from './activity-panel.tsx'
import { ApiError, capturePage, readContext, readReview, readSession, requestScreening, type Review, type ContextView, type ReviewCall, type ReviewView, type SessionView } from './api.ts'
import { HandDiagram } from './hand-diagram.tsx'
import { CALL_KEYS, JointPanel } from './joint-panel.tsx'
import { OverTime } from './over-time.tsx'
import { PhotoView } from './photo-view.tsx'
import { EarlierCloseUps } from './earlier-close-ups.tsx'
import { SignPanel } from './sign-panel.tsx'
import { dayOf, useWords, WORDS, WordsProvider } from './words.ts'

const ALL = LATERALITIES.flatMap((side) => HAND_JOINTS.map((joint) => ({ side, joint, key: `${side}-${joint}` })))
const STEPS: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }

/** The whole page: loading, empty, error and ended states, and the review itself. */
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

  const language = session?.language ?? (navigator.language.startsWith('de') ? 'de' : 'en')
  useEffect(() => {
    document.documentElement.lang = language
  }, [language])
  return <WordsProvider value={WORDS[language]}><Page session={session} review={review} fault={fault} onLoad={() => void load()} /></WordsProvider>
}

function Page({ session, review, fault, onLoad }: {
  session: SessionView | undefined; review: ReviewView | undefined; fault: ApiError | undefined; onLoad(): void
}) {
  const w = useWords()
  if (fault?.code === 'ERR_SESSION') return <Notice title={w.ended} text={fault.message} />
  if (fault) return <Notice title={w.failed} text={fault.message} action={[w.again, onLoad]} />
  if (!session || !review) return <Notice title={w.loading} text={w.loadingText} busy />
  return (
    <>
      <Header session={session} />
      {review.latest
        ? <Findings key={review.latest.id} session={session} latest={review.latest} pending={review.pending} history={review.history} onSigned={onLoad} />
        : <Empty review={review} canSavePhotos={session.canSavePhotos} onRequest={() => void requestScreening(session.csrf).then(onLoad)} />}
      <Footer session={session} />
    </>
  )
}

function Header({ session }: { session: SessionView }) {
  const w = useWords()
  const { name, birthDate } = session.patient
  return (
    <header>
      <div>
        <p className="brand">JointLens</p>
        <h1>{session.needPatientBanner ? name : w.title}</h1>
        {session.needPatientBanner && birthDate && <p>{w.born} {dayOf(w, birthDate)}</p>}
      </div>
      <p className="badge">{w.badge}</p>
    </header>
  )
}

type Latest = NonNullable<ReviewView['latest']>

function Findings({ session, latest, pending, history, onSigned }: {
  session: SessionView; latest: Latest; pending: boolean; history: ReviewView['history']; onSigned(): void
}) {
  const w = useWords()
  const firstFlagged = latest.findings.find((finding) => finding.kind === 'assessed' && finding.inflamed)
  const [chosen, setChosen] = useState(firstFlagged ? `${firstFlagged.side}-${firstFlagged.joint}` : 'left-wrist')
  const [calls, setCalls] = useState<ReadonlyMap<string, ReviewCall>>(new Map())
  const [tender, setTender] = useState<ReadonlySet<string>>(new Set())
  const [activity, setActivity] = useState<ActivityInputs>()
  const [large, setLarge] = useState<LargeFindings>({ swollen: [], tender: [] })
  const context = useContextOfRecord()
  const [marks, setMarks] = useState(true)
  const [mapShown, setMapShown] = useState(false)
  const current = ALL.find(({ key }) => key === chosen) ?? ALL[0]
  const choose = useCallback((side: Laterality, joint: HandJoint) => setChosen(`${side}-${joint}`), [])
  const decide = useCallback((call: ReviewCall | undefined) => setCalls((before) => {
    const next = new Map(before)
    if (call) next.set(chosen, call)
    else next.delete(chosen)
    return next
  }), [chosen])
  const toggleTender = useCallback(() => setTender((before) => {
    const next = new Set(before)
    if (!next.delete(chosen)) next.add(chosen)
    return next
  }), [chosen])

  useKeys((key) => {
    const step = STEPS[key]
    if (step) setChosen(ALL[(ALL.findIndex((one) => one.key === chosen) + step + ALL.length) % ALL.length]?.key ?? chosen)
    else if (CALL_KEYS[key]) decide(CALL_KEYS[key])
    else if (key === 't') toggleTender()
    else if (key === 'm') setMarks((shown) => !shown)
    else if (key === 'a') setMapShown((shown) => !shown)
    else return false
    return true
  })

  const review = useMemo<Review>(() => ({
    screeningId: latest.id,
    decisions: ALL.flatMap(({ side, joint, key }) => {
      const call = calls.get(key)
      return call ? [{ side, joint, call }] : []
    }),
    ...(activity ? { activity } : {}),
    ...(tender.size + large.tender.length + large.swollen.length > 0
      ? { examined: { tender: [...ALL.filter(({ key }) => tender.has(key)).map(({ side, joint }) => ({ side, joint })), ...large.tender], swollen: large.swollen } }
      : {})
  }), [latest.id, calls, activity, tender, large])
  if (!current) return null
  const { count } = latest
  return (
    <main>
      {session.mode === 'shadow' && <p className="shadow">{w.shadow}</p>}
      <section className="summary" aria-label={w.result}>
        <p className="count">
          <strong>{count.swollen}</strong> {w.count(count.assessable)} <span>({w.interval(count.low, count.high, count.of - count.assessable)})</span>
        </p>
        <p>{w.photosOf(dayOf(w, latest.photoTime))} {pending ? w.reading : ''} {w.caution}</p>
      </section>
      <div className="columns">
        <section className="photos" aria-label={w.photos}>
          {latest.photos.map((photo) => <PhotoView key={photo.id} photo={photo} calls={calls} chosen={chosen} marks={marks} onChoose={choose} />)}
          <label className="toggle"><input type="checkbox" checked={marks} onChange={() => setMarks(!marks)} /> {w.marks} <kbd>m</kbd></label>
          {session.canSavePhotos && <p className="toggle"><a href={capturePage}>{w.takePhotos}</a></p>}
        </section>
        <section className="review" aria-label={w.joints}>
          <div className="diagrams">
            {LATERALITIES.map((side) => <HandDiagram key={side} side={side} findings={latest.findings} calls={calls} chosen={chosen} onChoose={choose} />)}
          </div>
          <ul className="legend">{Object.entries(w.legend).map(([state, words]) => <li key={state} className={state}>{words}</li>)}</ul>
          <JointPanel latest={latest} side={current.side} joint={current.joint} call={calls.get(chosen)} tender={tender.has(chosen)}
            mapShown={mapShown} onMap={() => setMapShown(!mapShown)} onDecide={decide} onTender={toggleTender} />
          <EarlierCloseUps visits={history.filter(({ id }) => id !== latest.id)} side={current.side} joint={current.joint} />
        </section>
      </div>
      <ActivityPanel handSwollen={called(calls, 'swollen')} handNotAssessable={called(calls, 'not-assessable')} handTender={tender.size}
        context={context} onChange={setActivity} onLarge={setLarge} />
      <SignPanel session={session} review={review} onSigned={onSigned} />
      <OverTime history={history} context={context} />
    </main>
  )
}

function called(calls: ReadonlyMap<string, ReviewCall>, wanted: ReviewCall): number {
  return [...calls.values()].filter((call) => call === wanted).length
}

/** Treatment and laboratory come after the joints, so that a slow record holds up nothing; without an answer the page works on. */
function useContextOfRecord(): ContextView | undefined {
  const [context, setContext] = useState<ContextView>()
  useEffect(() => {
    readContext().then(setContext, () => setContext({ absent: { treatments: 'failed', laboratory: 'failed' } }))
  }, [])
  return context
}

/** Keys of the whole page, but never while someone types into a field. */
function useKeys(onKey: (key: string) => boolean): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      if (event.target instanceof HTMLElement && event.target.closest('input, textarea, select, pre, .photo-frame')) return
      if (onKey(event.key)) event.preventDefault()
    }
    window.addEventListener('keydown', listen)
    return () => window.removeEventListener('keydown', listen)
  }, [onKey])
}

function Empty({ review, canSavePhotos, onRequest }: { review: ReviewView; canSavePhotos: boolean; onRequest(): void }) {
  const w = useWords()
  if (review.pending) return <Notice title={w.busyTitle} text={w.busyText} busy />
  if (review.failure?.code === 'no-photos') return <Notice title={w.noPhotosTitle} text={w.noPhotosText} action={[w.readNow, onRequest]} link={canSavePhotos ? [w.takePhotos, capturePage] : undefined} />
  return <Notice title={w.noFindingsTitle} text={review.failure ? w.lastFailed(review.failure.code) : w.notScreened} action={[w.readNow, onRequest]} />
}

function Notice({ title, text, busy, action, link }: {
  title: string; text: string; busy?: boolean; action?: readonly [string, () => void]; link?: readonly [string, string] | undefined
}) {
  return (
    <main className="notice" aria-busy={busy ?? false}>
      <h1>{title}</h1>
      <p>{text}</p>
      {action && <button type="button" className="primary" onClick={action[1]}>{action[0]}</button>}
      {link && <p><a href={link[1]}>{link[0]}</a></p>}
    </main>
  )
}

function Footer({ session }: { session: SessionView }) {
  const w = useWords()
  return (
    <footer>
      <p>{w.model} {session.model.name} {session.model.version}, <a href="/models/current" target="_blank" rel="noreferrer">{w.modelCard}</a>. {w.calibration}: {session.calibration}. {w.foot}</p>
    </footer>
  )
}
