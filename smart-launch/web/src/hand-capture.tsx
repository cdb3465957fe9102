import { useEffect, useRef, useState, type ReactNode } from 'react'
import { OLDEST_PHOTO_MS } from '../../consent.ts'
import type { Laterality } from '../../../src/joints/hand-joint.ts'
import { JOINTS_OF_A_HAND, type PhotoVerdict } from '../../../src/joints/photo-verdict.ts'
import { checkPhoto, savePhoto } from './api.ts'
import { CameraView } from './camera-view.tsx'
import type { Shot } from './camera.ts'
import { captureErrorWords, useCaptureWords } from './capture-words.ts'

export interface HandCaptureProps {
  readonly side: Laterality
  readonly csrf: string
  /** Hands that are done. */
  readonly done: number
  readonly agreed: boolean
  onAgree(): void
  onSaved(): void
  onSkip(): void
}

/** aim → look at the shot → (agree) → checked by the server → saved. Only the last two send anything. */
type Step = 'aim' | 'look' | 'consent' | 'sent'

/** One hand, from the camera into the record. A failed request keeps the photo, so that it can be sent again. */
export function HandCapture({ side, csrf, done, agreed, onAgree, onSaved, onSkip }: HandCaptureProps) {
  const c = useCaptureWords()
  const [step, setStep] = useState<Step>('aim')
  const [shot, setShot] = useState<Shot>()
  const [deleted, setDeleted] = useState(false)
  const restart = (gone: boolean) => {
    if (shot) URL.revokeObjectURL(shot.url)
    setShot(undefined)
    setDeleted(gone)
    setStep('aim')
  }
  const take = (taken: Shot) => {
    setDeleted(false)
    setShot(taken)
    setStep('look')
  }
  return (
    <section aria-label={c.hand[side]}>
      <StepHeading key={step}>{c.steps(done)}: {c.hand[side]}</StepHeading>
      {step === 'aim' && <>
        <p role="status">{deleted ? c.deleted : ''}</p>
        <CameraView side={side} onShot={take} />
        <p><button type="button" className="quiet" onClick={onSkip}>{c.skip}</button></p>
      </>}
      {shot && step !== 'aim' && <img className="shot" src={shot.url} alt={c.shot(c.hand[side])} />}
      {shot && step === 'look' && <LookAtShot shot={shot} onUse={() => setStep(agreed ? 'sent' : 'consent')} onRetake={() => restart(false)} />}
      {step === 'consent' && <Consent onAgree={() => { onAgree(); setStep('sent') }} onRefuse={() => restart(true)} />}
      {shot && step === 'sent' && <Sent shot={shot} side={side} csrf={csrf} onSaved={onSaved} onRetake={() => restart(false)} />}
    </section>
  )
}

/** Focus moves to where the person has come to; without it a keyboard would be left on a button that is gone. */
function StepHeading({ children }: { children: ReactNode }) {
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => heading.current?.focus(), [])
  return <h2 ref={heading} tabIndex={-1}>{children}</h2>
}

function LookAtShot({ shot, onUse, onRetake }: { shot: Shot; onUse(): void; onRetake(): void }) {
  const c = useCaptureWords()
  if (Date.now() - shot.takenAt > OLDEST_PHOTO_MS) return (
    <div>
      <p className="problems" role="alert">{c.old}</p>
      <div className="actions"><button type="button" className="primary" onClick={onRetake}>{c.retake}</button></div>
    </div>
  )
  return (
    <div>
      <p>{c.onDevice}</p>
      {shot.problems.length > 0 && <ul className="problems">{shot.problems.map((problem) => <li key={problem}>{c.local[problem]}</li>)}</ul>}
      <div className="actions">
        <button type="button" className={shot.problems.length === 0 ? 'primary' : ''} onClick={onUse}>{c.use}</button>
        <button type="button" className={shot.problems.length > 0 ? 'primary' : ''} onClick={onRetake}>{c.retake}</button>
      </div>
    </div>
  )
}

function Consent({ onAgree, onRefuse }: { onAgree(): void; onRefuse(): void }) {
  const c = useCaptureWords()
  return (
    <section className="consent" aria-label={c.consentTitle}>
      <h3>{c.consentTitle}</h3>
      {c.consent.map((words) => <p key={words}>{words}</p>)}
      <div className="actions">
        <button type="button" className="primary" onClick={onAgree}>{c.agree}</button>
        <button type="button" onClick={onRefuse}>{c.refuse}</button>
      </div>
    </section>
  )
}

function Sent({ shot, side, csrf, onSaved, onRetake }: { shot: Shot; side: Laterality; csrf: string; onSaved(): void; onRetake(): void }) {
  const c = useCaptureWords()
  const [verdict, setVerdict] = useState<PhotoVerdict>()
  const [busy, setBusy] = useState<'checking' | 'saving'>()
  const [fault, setFault] = useState<{ readonly message: string; readonly retry: () => void }>()
  const photo = { blob: shot.blob, side, takenAt: shot.takenAt, camera: shot.camera }
  const act = async (what: 'checking' | 'saving', work: () => Promise<void>, retry: () => void) => {
    setBusy(what)
    setFault(undefined)
    await work().catch((error: unknown) => setFault({ message: captureErrorWords(c, error), retry }))
    setBusy(undefined)
  }
  const check = () => void act('checking', async () => setVerdict(await checkPhoto(csrf, photo)), check)
  const save = () => void act('saving', async () => { await savePhoto(csrf, photo); onSaved() }, save)
  // One photo, one check: this part of the page is made anew for every shot.
  useEffect(check, [])
  const free = busy === undefined
  return (
    <div>
      <div role="status">
        {busy && <p>{busy === 'checking' ? c.checking : c.saving}</p>}
        {verdict && !busy && <Verdict verdict={verdict} />}
        {fault && <p>{fault.message} {c.kept}</p>}
      </div>
      <div className="actions">
        {/* One button, whatever it does next, and never `disabled`: a keyboard's focus stays on it while it waits and when it failed. */}
        {(verdict ?? fault) && <button type="button" aria-disabled={!free} className={fault || verdict?.usable ? 'primary' : ''} onClick={() => { if (free) (fault?.retry ?? save)() }}>{fault ? c.again : verdict?.usable ? c.save : c.keep}</button>}
        <button type="button" aria-disabled={!free} className={verdict && !verdict.usable ? 'primary' : ''} onClick={() => { if (free) onRetake() }}>{c.retake}</button>
      </div>
    </div>
  )
}

function Verdict({ verdict: { usable, readable, problems } }: { verdict: PhotoVerdict }) {
  const c = useCaptureWords()
  return (
    <>
      {usable && <p className="good">{c.good(readable, JOINTS_OF_A_HAND)}</p>}
      {problems.length > 0 && <>
        <p>{usable ? c.some : c.notGood}</p>
        <ul className="problems">{problems.map((problem) => <li key={problem}>{c.problem[problem]}</li>)}</ul>
      </>}
    </>
  )
}
