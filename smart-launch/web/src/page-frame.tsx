import { useEffect, useRef } from 'react'
import { percentOf } from '../../../src/joints/finding.ts'
import type { SessionView } from './api.ts'
import { ageOf, dayOf } from './dates.ts'
import { useWords, type Words } from './words.ts'

export function Header({ session, onHelp, onLeave }: { session: SessionView; onHelp: (() => void) | undefined; onLeave: (() => void) | undefined }) {
  const w = useWords()
  const { name } = session.patient
  const details = patientDetails(w, session.patient)
  return (
    <header>
      <p className="brand">JointLens</p>
      <div className="who">
        <h1>{session.needPatientBanner ? name : w.title}</h1>
        {session.needPatientBanner ? details && <p>{details}</p> : <details className="whose"><summary>{w.whose}</summary><p><strong>{name}</strong>{details && ` · ${details}`}</p></details>}
      </div>
      <p className="badge">{w.badge}</p>
      <div className="page-actions">
        {onHelp && <button type="button" className="quiet" onClick={onHelp}>{w.keysTitle} <kbd>?</kbd></button>}
        {onLeave && <button type="button" className="quiet" onClick={onLeave}>{w.leave}</button>}
      </div>
    </header>
  )
}

/** Sex, birth date with age, and numbers: what tells two patients of one name apart. */
function patientDetails(w: Words, { birthDate, gender, identifiers }: SessionView['patient']): string {
  const age = birthDate === undefined ? undefined : ageOf(birthDate)
  return [
    gender && w.gender[gender], birthDate && `${w.born} ${dayOf(w, birthDate)}${age === undefined ? '' : ` (${w.years(age)})`}`, ...identifiers.map(({ label, value }) => `${label || w.identifier} ${value}`)
  ].filter(Boolean).join(' · ')
}

/** Whose record the signature goes into, said once more where it is given. */
export function PatientLine({ patient }: Pick<SessionView, 'patient'>) {
  const w = useWords()
  return <p className="for-whom">{w.forPatient} <strong>{patient.name}</strong>{patient.birthDate ? `, ${w.born} ${dayOf(w, patient.birthDate)}` : ''}{patient.identifiers.slice(0, 1).map(({ label, value }) => `, ${label || w.identifier} ${value}`)}</p>
}

/** The sign-in is over and the page is still there: what can be read stays, and it says how to go on. */
export function Ended({ session }: { session: SessionView }) {
  const w = useWords()
  return (
    <div className="banner" role="alert">
      <p><strong>{w.ended}.</strong> {w.endedText}</p>
      {session.signInAgain && <a className="button primary" href={session.signInAgain}>{w.signInAgain}</a>}
    </div>
  )
}

/** Takes the focus when it comes, in the place of a button that is gone: it says what the button did. */
export function Done({ words }: { words: string }) {
  const said = useRef<HTMLParagraphElement>(null)
  useEffect(() => said.current?.focus(), [words])
  return <p className="restored" ref={said} tabIndex={-1} role="status">{words}</p>
}

export function Notice({ title, text, busy, alone, asked, action, link, linkFirst }: {
  title: string; text: string; busy?: boolean
  /** Someone pressed a button for it, which is gone. */
  asked?: boolean
  /** There is no header above it. */
  alone?: boolean; action?: readonly [string, () => void]; link?: readonly [string, string] | undefined
  /** The link is what helps most. */
  linkFirst?: boolean
}) {
  // Alone it has taken the place of all that was there, also of what had the focus.
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => { if (asked || (alone && !busy)) heading.current?.focus() }, [alone, busy, title])
  return (
    <main className="notice" aria-busy={busy ?? false}>
      {alone && <p className="brand">JointLens</p>}
      {alone ? <h1 ref={heading} tabIndex={-1}>{title}</h1> : <h2 ref={heading} tabIndex={-1}>{title}</h2>}
      <p role="status">{text}</p>
      {busy && <p className="progress" aria-hidden="true" />}
      {(action ?? link) && <div className="actions">
        {link && linkFirst && <a className="button primary" href={link[1]}>{link[0]}</a>}
        {action && <button type="button" className={link && linkFirst ? '' : 'primary'} onClick={action[1]}>{action[0]}</button>}
        {link && !linkFirst && <a className="button" href={link[1]}>{link[0]}</a>}
      </div>}
    </main>
  )
}

/** What this is, what it cannot do and what is left to the reader: said once, quietly, where whoever looks for it finds it. */
export function Research({ session, threshold }: { session: SessionView; threshold: number }) {
  const w = useWords()
  return (
    <section className="research" aria-label={w.aboutTitle}>
      <h2>{w.aboutTitle}</h2>
      <dl>{w.about({ calibration: session.calibration, calibrated: session.calibrated, threshold: percentOf(threshold) }).map(([term, words]) => <div key={term}><dt>{term}</dt><dd>{words}</dd></div>)}</dl>
    </section>
  )
}

export function Footer({ session }: { session: SessionView }) {
  const w = useWords()
  return (
    <footer>
      <p>{w.model} {session.model.name} {session.model.version}, <a href="/models/current" target="_blank" rel="noreferrer">{w.modelCard}</a> · {session.ehr} · {w.foot}</p>
    </footer>
  )
}
