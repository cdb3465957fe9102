import { useCallback, useEffect, useMemo, useRef, useState } from 'react'
import { LATERALITIES, type HandJoint, type Laterality } from '../../../src/joints/hand-joint.ts'
import { activityOf, GLOBALS, numberConflicts } from './activity.ts'
import { ActivityPanel } from './activity-panel.tsx'
import { ApiError, capturePage, logout, pageOfPhotos, readContext, readReview, readSession, requestScreening, reviewPage, SESSION_ENDED, type ContextView, type ReviewCall, type ReviewView, type SessionView } from './api.ts'
import { CorrectionNotice, useCorrection } from './correction.tsx'
import { EarlierCalls } from './earlier-calls.tsx'
import { HandDiagram } from './hand-diagram.tsx'
import { CALL_KEYS, JointPanel } from './joint-panel.tsx'
import { KeysHelp } from './keys-help.tsx'
import { AS_TAKEN, LightControls, lightOf, lit } from './light.tsx'
import { OverTime } from './over-time.tsx'
import { Done, Ended, Footer, Header, Notice, Research } from './page-frame.tsx'
import { PhotoView, ZOOM } from './photo-view.tsx'
import { SignPanel } from './sign-panel.tsx'
import { Summary } from './summary.tsx'
import { useDraft } from './use-draft.ts'
import { useKeys, useLetters } from './use-keys.ts'
import { useSignature } from './use-signature.ts'
import { begun, callsToTakeOver, draftOf, HAND_PLACES, NO_WORK, rebased, received, reviewOf, toggled, withCall, withNewer, withStanding, workOf, type CarriedOver, type OnScreen, type Work } from './work.ts'
import { unsignedOf } from '../../unsigned.ts'
import { errorWords, failureWords, numberConflictWords, signedConflicts, useWords, WORDS, WordsProvider } from './words.ts'

const STEPS: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }
const LOOK_AGAIN_MS = 1_500
/** What a page sent when it was left arrives by then, and the page that was loaded in its place takes it over. */
const LATE_MS = 2_000
/** Not in the legend while the model's answers are withheld. */
const MODEL_STATES = ['flagged', 'plain', 'not-assessable']

type State = 'open' | 'ended' | 'left'

/** The whole page: loading, empty, error and ended states, and the review itself. */
export function ReviewPage() {
  const [session, setSession] = useState<SessionView>()
  const [onScreen, setOnScreen] = useState<OnScreen>()
  const entered = useRef(NO_WORK)
  const review = onScreen?.shown
  const [fault, setFault] = useState<ApiError>()
  const [state, setState] = useState<State>('open')

  const load = useCallback(async () => {
    try {
      const [nextSession, nextReview] = await Promise.all([readSession(), readReview()])
      setSession(nextSession)
      setOnScreen((before) => received(before, nextReview, entered.current))
      setFault(undefined)
    } catch (error) {
      setFault(error instanceof ApiError ? error : new ApiError('ERR_INTERNAL', String(error)))
    }
  }, [])
  useEffect(() => void load(), [load])
  const [late, setLate] = useState<ReviewView>()
  useEffect(() => {
    if (!isLoadedAgain()) return
    const timer = setTimeout(() => { readReview().then(setLate, () => undefined) }, LATE_MS)
    return () => clearTimeout(timer)
  }, [])
  useEffect(() => {
    if (!review?.pending || state !== 'open') return
    const timer = setTimeout(() => void load(), LOOK_AGAIN_MS)
    return () => clearTimeout(timer)
  }, [review, fault, load, state])
  useEffect(() => {
    const end = () => setState((before) => (before === 'open' ? 'ended' : before))
    window.addEventListener(SESSION_ENDED, end)
    return () => window.removeEventListener(SESSION_ENDED, end)
  }, [])

  const language = session?.language ?? (navigator.language.startsWith('de') ? 'de' : 'en')
  useEffect(() => {
    document.documentElement.lang = language
    document.title = `JointLens – ${WORDS[language].title}`
  }, [language])
  const leave = () => { if (session) void logout(session.csrf).then(() => setState('left'), setFault) }
  return (
    <WordsProvider value={WORDS[language]}>
      <Page session={session} onScreen={onScreen} late={late} fault={fault} state={state} onLoad={() => void load()} onLeave={leave} onEntered={(work) => { entered.current = work }}
        onNewer={() => setOnScreen((before) => before && withNewer(before, entered.current))} />
    </WordsProvider>
  )
}

interface PageProps {
  readonly session: SessionView | undefined
  readonly onScreen: OnScreen | undefined
  /** The review a moment after the page was loaded again. */
  readonly late: ReviewView | undefined
  readonly fault: ApiError | undefined
  readonly state: State
  onLoad(): void
  onLeave(): void
  /** What is entered and not signed now. */
  onEntered(work: Work): void
  onNewer(): void
}

/** What is on the screen stays there when a later request fails; only a page that never loaded is a notice. */
function Page({ session, onScreen, late, fault, state, onLoad, onLeave, onEntered, onNewer }: PageProps) {
  const w = useWords()
  const review = onScreen?.shown
  const [help, setHelp] = useState(false)
  const [asked, setAsked] = useState(false)
  // The findings have taken it by now.
  useEffect(() => setAsked(false), [review?.latest?.id])
  if (state === 'left') return <Notice alone title={w.left} text={w.leftText} />
  if (!session || !review) {
    if (state === 'ended') return <Notice alone title={w.ended} text={w.endedText} />
    if (fault) return <Notice alone title={w.failed} text={errorWords(w, fault)} action={[w.again, onLoad]} />
    return <Notice alone title={w.loading} text={w.loadingText} busy />
  }
  return (
    <>
      <Header session={session} onHelp={review.latest ? () => setHelp(true) : undefined} onLeave={state === 'open' ? onLeave : undefined} />
      {state === 'ended' && <Ended session={session} />}
      {fault && state === 'open' && <p className="banner" role="alert">{errorWords(w, fault)} <button type="button" className="quiet" onClick={onLoad}>{w.again}</button></p>}
      {review.latest
        ? <Findings key={review.latest.id} session={session} review={review} latest={review.latest} late={late?.latest?.id === review.latest.id ? late : undefined} carried={onScreen?.carried} onNewer={onScreen?.newer && (() => { setAsked(true); onNewer() })} ended={state !== 'open'} help={help} onHelp={setHelp} asked={asked} onEntered={onEntered} onSigned={onLoad} />
        : <Empty review={review} canSavePhotos={session.canSavePhotos} asked={asked} onRequest={() => { setAsked(true); void requestScreening(session.csrf).then(onLoad, onLoad) }} />}
      <Footer session={session} />
    </>
  )
}

type Latest = NonNullable<ReviewView['latest']>

interface FindingsProps {
  readonly session: SessionView
  readonly review: ReviewView
  readonly latest: Latest
  readonly late: ReviewView | undefined
  readonly carried: CarriedOver | undefined
  /** Shows a newer result that waits; undefined where there is none. */
  readonly onNewer: (() => void) | undefined
  readonly ended: boolean
  readonly help: boolean
  /** Someone pressed a button for it, which is gone: the focus goes to the result. */
  readonly asked: boolean
  onHelp(shown: boolean): void
  onEntered(work: Work): void
  onSigned(): void
}

function Findings({ session, review: shown, latest, late, carried, onNewer, ended, help, asked, onHelp, onEntered, onSigned }: FindingsProps) {
  const w = useWords()
  const { pending, history, draft, threshold } = shown
  const flagged = useMemo(() => HAND_PLACES.filter(({ side, joint }) => latest.findings.some((one) => one.side === side && one.joint === joint && one.kind === 'assessed' && one.inflamed)), [latest])
  const [chosen, setChosen] = useState(() => (flagged[0] ?? HAND_PLACES.find(({ side }) => latest.photos.some(({ hands }) => hands.some((hand) => hand.side === side))) ?? HAND_PLACES[0])?.key ?? '')
  const [work, setWork] = useState<Work>(() => begun(draft, carried))
  useEffect(() => onEntered(work))
  useEffect(() => { if (asked) document.getElementById('result')?.focus() }, [asked])
  const [done, setDone] = useState<{ readonly what: 'kept' | 'taken'; readonly words: string }>()
  const [context, readAgain] = useContextOfRecord(latest.id)
  const [marks, setMarks] = useState(true)
  const [mapShown, setMapShown] = useState(false)
  const [otherShown, setOtherShown] = useState(false)
  const [light, setLight] = useState(AS_TAKEN)
  const [zooms, setZooms] = useState<Readonly<Record<string, number>>>({})
  const [letters, setLetters] = useLetters()
  const signInView = useInView('sign')
  const knows = useRef(shown.newestSignature)
  const kept = useDraft(session.csrf, draftOf(work, latest.id), session.canSign, carried === undefined, knows)
  const [beginning] = useState(work)
  useEffect(() => {
    if (!late) return
    if (late.newestSignature !== knows.current) {
      knows.current = late.newestSignature
      readAgain()
    }
    // What was changed since the page was loaded stays as it is now.
    setWork((before) => rebased(before, beginning, begun(late.draft, carried)))
  }, [late, beginning, carried, readAgain])
  const correction = useCorrection(latest.id, work, setWork)
  const correcting = work.corrects !== undefined
  const inRecord = useMemo(() => new Map((context?.signed?.joints ?? []).map((one) => [`${one.side}-${one.joint}`, one])), [context])
  // In a correction a joint whose call was taken back shall not stand any more.
  const signed = useMemo(() => new Map([...inRecord].filter(([key]) => !correcting || work.calls.has(key))), [inRecord, correcting, work.calls])
  const shownCalls = useMemo(() => new Map([...[...signed].map(([key, { call }]) => [key, call] as const), ...work.calls]), [signed, work.calls])
  const earlierCalls = useMemo(() => (correcting ? NO_WORK.calls : callsToTakeOver(shown, carried, shownCalls)), [correcting, shown, carried, shownCalls])
  const ownCalls = correction.changes?.calls ?? work.calls
  const activity = useMemo(() => activityOf(work, context), [work, context])
  const { standing } = activity
  const shownTender = useMemo(() => withStanding(work, standing).tender, [work, standing])

  const current = HAND_PLACES.find(({ key }) => key === chosen) ?? HAND_PLACES[0]
  const choose = useCallback((side: Laterality, joint: HandJoint) => setChosen(`${side}-${joint}`), [])
  const chooseInPhoto = useCallback((side: Laterality, joint: HandJoint) => {
    choose(side, joint)
    showChosen()
  }, [choose])
  const decide = (call: ReviewCall | undefined) => setWork((before) => ({ ...before, calls: withCall(before.calls, chosen, call) }))
  const toggleTender = () => { if (!standing.tender.has(chosen)) setWork((before) => ({ ...before, tender: toggled(before.tender, chosen) })) }
  const step = (places: readonly { readonly key: string }[], by: number) => {
    const next = places[(places.findIndex(({ key }) => key === chosen) + by + places.length) % places.length]
    if (next) setChosen(next.key)
  }
  const chosenPhoto = latest.photos.find(({ hands }) => hands.some(({ side }) => side === current?.side))?.id
  const zoomTo = (photo: string | undefined, zoom: (before: number) => number) => {
    if (photo) setZooms((before) => ({ ...before, [photo]: Math.min(ZOOM.most, Math.max(ZOOM.least, zoom(before[photo] ?? 1))) }))
  }
  const letterKeys: Record<string, () => void> = {
    ...Object.fromEntries(Object.entries(CALL_KEYS).map(([key, call]) => [key, () => decide(work.calls.get(chosen) === call ? undefined : call)])),
    t: toggleTender, m: () => setMarks((shown) => !shown), a: () => setMapShown((shown) => !shown), o: () => setOtherShown((shown) => !shown),
    b: () => setLight((now) => lit(now, 'brightness', 1)), B: () => setLight((now) => lit(now, 'brightness', -1)),
    c: () => setLight((now) => lit(now, 'contrast', 1)), C: () => setLight((now) => lit(now, 'contrast', -1)),
    f: () => { stepFlagged(1); showChosen() }, F: () => { stepFlagged(-1); showChosen() },
    '+': () => zoomTo(chosenPhoto, (zoom) => zoom + 2 * ZOOM.step), '-': () => zoomTo(chosenPhoto, (zoom) => zoom - 2 * ZOOM.step), 0: () => zoomTo(chosenPhoto, () => 1),
    p: () => { document.getElementById('sign')?.scrollIntoView({ block: 'nearest' }); signature.preview() },
    '?': () => onHelp(true)
  }
  function stepFlagged(by: number) {
    if (flagged.some(({ key }) => key === chosen)) return step(flagged, by)
    if (flagged[0]) setChosen(flagged[0].key)
  }
  useKeys((key) => {
    const by = STEPS[key]
    const does = letters ? letterKeys[key] : undefined
    if (by) {
      step(HAND_PLACES, by)
      // In the diagram the focus goes along, and must stay on the screen.
      if (!document.activeElement?.closest('.hands')) showChosen()
    } else does?.()
    return by !== undefined || does !== undefined
  })

  const [changes, faulty] = [correction.changes?.count, activity.faulty.length > 0]
  const review = useMemo(() => reviewOf(work, latest.id, activity.entered ? activity.inputs : undefined), [latest.id, work, activity])
  const signature = useSignature({
    session, review, entered: draftOf(work, latest.id), sent: late?.sent ?? shown.sent, changes, faulty, ended, onUncertain: readAgain, onConflict: () => { readAgain(); return correction.renew() },
    onSigned: ({ review: { activity: inputs }, previewed: { at }, entered: signedDraft }) => {
      setDone(undefined)
      knows.current = at
      // What was entered while the signature was on its way is not signed, and neither is a value that no score is made with: both stay.
      setWork((before) => workOf(unsignedOf(draftOf(before, latest.id), signedDraft, inputs)))
      correction.close()
      readAgain()
      onSigned()
    }
  })
  const isLookedFor = signature.busy === 'look' || signature.busy === 'look-again'
  const conflicts = correcting ? [] : signedConflicts(w, work.calls, context?.signed?.joints ?? [])
  const numbers = numberConflicts(work, activity, context?.signed?.numbers ?? [])
  const globals = GLOBALS.filter((name) => numbers.some(({ signed: one }) => one.name === name))
  const correct = session.canSign && !ended && !correcting ? correction.begin : undefined
  const keepSigned = () => {
    setWork({
      ...work, calls: new Map([...work.calls].filter(([key]) => !conflicts.some((one) => one.key === key))),
      typed: Object.fromEntries(Object.entries(work.typed).filter(([name]) => !globals.some((one) => one === name)))
    })
    setDone({ what: 'kept', words: w.signedKept })
  }
  if (!current) return null
  const missing = LATERALITIES.filter((side) => latest.photos.length > 0 && !latest.photos.some(({ hands }) => hands.some((hand) => hand.side === side)))
  return (
    <main>
      {help && <KeysHelp letters={letters} onLetters={setLetters} onClose={() => onHelp(false)} />}
      <Summary session={session} latest={latest} pending={pending} signed={context?.signed?.joints ?? []} onCorrect={correct} />
      {onNewer && <div className="banner newer"><p role="status">{w.newer}</p><button type="button" onClick={onNewer}>{w.showNewer}</button></div>}
      {shown.isEarlier && <div className="banner newer"><p role="status">{w.earlierShown}</p><a className="button" href={reviewPage}>{w.showNewer}</a></div>}
      {shown.earlierCorrection && session.canSign && !ended && (
        <div className="banner"><p role="status">{w.earlierCorrection}</p><a className="button" href={pageOfPhotos(shown.earlierCorrection)}>{w.goOnCorrecting}</a></div>
      )}
      {carried && <p className="restored" role="status">{w.carried([...carried.calls.keys()].filter((key) => !work.calls.has(key)).length, carried.correction)}</p>}
      {session.canSign && !ended && <EarlierCalls calls={earlierCalls} onTake={() => {
        setWork((before) => ({ ...before, calls: new Map([...earlierCalls, ...before.calls]) }))
        setDone({ what: 'taken', words: w.takenOver(earlierCalls.size) })
      }} />}
      {done?.what === 'taken' && <Done words={done.words} />}
      <CorrectionNotice correction={correction} />
      {draft && !isLookedFor && correction.state.kind !== 'stale' && <p className="restored" role="status">{w.restored}</p>}
      <div className="columns" style={lightOf(light)}>
        <section className="photos" aria-label={w.photos}>
          {latest.photos.map((photo) => (
            <PhotoView key={photo.id} photo={photo} calls={shownCalls} chosen={chosen} marks={marks} zoom={zooms[photo.id] ?? 1}
              onZoom={(zoom) => zoomTo(photo.id, () => zoom)} onChoose={chooseInPhoto} />
          ))}
          {missing.map((side) => <p key={side} className="photo-missing">{w.noPhotoOf(w.side[side])}{session.canSavePhotos && <a href={capturePage}>{w.takePhotos}</a>}</p>)}
          <div className="toolbar">
            <label><input type="checkbox" checked={marks} onChange={() => setMarks(!marks)} /> {w.marks} <kbd>m</kbd></label>
            <LightControls light={light} onLight={setLight} />
            {session.canSavePhotos && missing.length === 0 && <a href={capturePage}>{w.takePhotos}</a>}
          </div>
        </section>
        <div className="column chosen">
          <section className="review" id="chosen-joint" aria-label={w.chosenJoint}>
            <JointPanel latest={latest} earlier={history.filter(({ id }) => id !== latest.id)} side={current.side} joint={current.joint} call={work.calls.get(chosen)}
              signed={inRecord.get(chosen)} tender={shownTender.has(chosen)} tenderSigned={context?.signed?.tender.find(({ side, joint }) => `${side}-${joint}` === chosen)} tenderStands={standing.tender.has(chosen)} threshold={threshold} mapShown={mapShown} otherShown={otherShown} flagged={flagged.length} onStep={(by) => (flagged.length > 0 ? stepFlagged(by) : step(HAND_PLACES, by))} onMap={() => setMapShown(!mapShown)} onOther={() => setOtherShown(!otherShown)} onDecide={decide} onTender={toggleTender} />
          </section>
          <section className="hands" aria-label={w.joints}>
            <div className="diagrams">
              {LATERALITIES.map((side) => <HandDiagram key={side} side={side} findings={latest.findings} calls={ownCalls} signed={signed} tender={shownTender} chosen={chosen} onChoose={choose} />)}
            </div>
            <ul className="legend">{Object.entries(w.legend).filter(([state]) => latest.findings.length > 0 || !MODEL_STATES.includes(state)).map(([state, words]) => <li key={state} className={state}>{words}</li>)}</ul>
          </section>
        </div>
        <ActivityPanel work={work} context={context} activity={activity} onWork={setWork} />
        <div className="column ending">
          {conflicts.length + numbers.length > 0 && (
            <div className="banner conflict" role="alert">
              <p>{numbers.length > 0 ? w.conflictNumbers : w.conflict}</p>
              <ul>
                {conflicts.map(({ key, words }) => <li key={key}>{words}</li>)}
                {numbers.map((one) => <li key={one.signed.name}>{numberConflictWords(w, one)}</li>)}
              </ul>
              <div className="actions">
                {conflicts.length + globals.length > 0 && <button type="button" onClick={keepSigned}>{w.takeSigned}</button>}
                {correct && <button type="button" onClick={correct}>{w.correct}</button>}
              </div>
            </div>
          )}
          {done?.what === 'kept' && conflicts.length === 0 && <Done words={done.words} />}
          <SignPanel session={session} signature={signature} review={review} draft={kept} changes={changes} faulty={faulty} unwritten={activity.unwritten} conflicting={conflicts.length + numbers.length > 0} />
        </div>
        <OverTime history={history} context={context} />
      </div>
      <Research session={session} threshold={threshold} />
      {review && session.canSign && !signInView && <p className="decided-bar"><span>{isLookedFor ? w.lookedForShort : changes !== undefined ? w.changes(changes) : w.unsigned(review.decisions.length)} <span className="quiet-words">{w.draft[kept]}</span></span> {!ended && !isLookedFor && <a className="button primary" href="#sign" onClick={signature.shown ? undefined : signature.preview}>{signature.shown ? w.toSignature : w.toSign}</a>}</p>}
    </main>
  )
}

/** Loaded again, or come back to: the page before it may have sent something when it was left. */
function isLoadedAgain(): boolean {
  const [navigation] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
  return navigation?.type === 'reload' || navigation?.type === 'back_forward'
}

/** Where the page is narrow the joint lies below the photos: whoever chooses another one wants to see it. */
function showChosen(): void {
  requestAnimationFrame(() => document.getElementById('chosen-joint')?.scrollIntoView({ block: 'nearest' }))
}

/** Whether the part of the page with this id is on the screen: what leads to it is then not needed. */
function useInView(id: string): boolean {
  const [inView, setInView] = useState(false)
  useEffect(() => {
    const part = document.getElementById(id)
    if (!part) return
    const watch = new IntersectionObserver((entries) => { setInView(entries.at(-1)?.isIntersecting ?? false) }, { rootMargin: '0px 0px -80px 0px' })
    watch.observe(part)
    return () => watch.disconnect()
  }, [id])
  return inView
}

/**
 * Treatment, laboratory and what was signed come after the joints, so that a slow record holds up nothing; without an answer the page works on. What
 * was signed is known only by the newest answer: an older one could lack what has been signed since.
 */
function useContextOfRecord(screening: string): readonly [ContextView | undefined, () => void] {
  const [context, setContext] = useState<ContextView>()
  const read = useCallback(() => {
    readContext(screening).then(setContext, () => setContext(({ signed: _older, ...before } = { absent: { treatments: 'failed', laboratory: 'failed' } }) => ({ ...before, absent: { ...before.absent, signed: 'failed' } })))
  }, [screening])
  useEffect(read, [read])
  return [context, read]
}

function Empty({ review, canSavePhotos, asked, onRequest }: { review: ReviewView; canSavePhotos: boolean; asked: boolean; onRequest(): void }) {
  const w = useWords()
  const photos = canSavePhotos ? [w.takePhotos, capturePage] as const : undefined
  if (review.pending) return <Notice asked={asked} title={w.busyTitle} text={w.busyText} busy />
  if (review.failure?.code === 'no-photos') return <Notice asked={asked} title={w.noPhotosTitle} text={w.noPhotosText} action={[w.readNow, onRequest]} link={photos} linkFirst />
  return <Notice asked={asked} title={w.noFindingsTitle} text={review.failure ? failureWords(w, review.failure.code) : w.notScreened} action={[w.readNow, onRequest]} link={photos} />
}
