import { useEffect, useRef } from 'react'
import type { Activity } from './activity.ts'
import type { Review, SessionView } from './api.ts'
import { PatientLine } from './page-frame.tsx'
import { linesOf, type PreviewedResource } from './preview-lines.ts'
import type { DraftState } from './use-draft.ts'
import type { Signature } from './use-signature.ts'
import { useWords } from './words.ts'

export interface SignPanelProps {
  readonly session: SessionView
  readonly signature: Signature
  /** Undefined as long as there is nothing to sign. */
  readonly review: Review | undefined
  readonly draft: DraftState
  /** How much a correction changes; undefined while nothing that was signed is corrected. */
  readonly changes: number | undefined
  /** A typed value is outside its range. */
  readonly faulty: boolean
  /** Laboratory values that were typed and that no score is made with. */
  readonly unwritten: Activity['unwritten']
  /** The page shows that something else is signed already. */
  readonly conflicting: boolean
}

/**
 * Preview, then the signature: what comes next is the strong button. The buttons are `aria-disabled` while they do nothing, so that the focus
 * stays on them; it moves to the preview, and after the signature to what was recorded. What became of it stands right below them, above a long preview.
 */
export function SignPanel({ session, signature: { shown, message, busy, canPreview, canRecord, preview, record }, review, draft, changes, faulty, unwritten, conflicting }: SignPanelProps) {
  const w = useWords()
  const said = useRef<HTMLParagraphElement>(null)
  useEffect(() => { if (message?.kind === 'written') said.current?.focus() }, [message])
  if (session.mode === 'shadow') return <section className="sign" id="sign" aria-label={w.signTitle}><p>{w.shadowSign}</p></section>
  if (!session.canSign) return <section className="sign" id="sign" aria-label={w.signTitle}><p>{w.readOnly}</p></section>
  return <>
    <section className="sign" id="sign" aria-label={w.signTitle}>
      <h2>{w.signTitle}</h2>
      <PatientLine patient={session.patient} />
      <p>{changes !== undefined ? w.changes(changes) : review ? w.decided(review.decisions.length) : w.nothingDecided} <span className="quiet-words">{review ? w.draft[draft] : ''}</span></p>
      {faulty && <p className="fault">{w.faulty}</p>}
      {unwritten.length > 0 && <p className="quiet-words">{w.unwritten(unwritten.map((name) => w.inputNames[name]).join(', '))}</p>}
      <div className="actions">
        <button type="button" className={shown ? '' : 'primary'} aria-disabled={!canPreview} onClick={preview}>{w.preview}</button>
        <button type="button" className={shown ? 'primary' : ''} aria-disabled={!canRecord} onClick={record}>{w.sign}</button>
      </div>
      <p role="status" className={`said ${message?.kind ?? ''}`} ref={said} tabIndex={-1}>{busy === 'sign' ? w.signing : busy === 'look' ? w.looking : busy === 'look-again' ? w.lookingAgain : message?.isConflict && conflicting ? w.signedOtherwise : message?.words ?? ''}</p>
      {shown?.resources.length === 0 && <p>{w.allStands}</p>}
    </section>
    {shown && shown.resources.length > 0 && <Preview resources={shown.resources} signer={shown.signer} />}
  </>
}

/** A line for each resource in the words it carries itself, and all of it as it is sent. */
function Preview({ resources, signer }: { resources: readonly PreviewedResource[]; signer: string | undefined }) {
  const w = useWords()
  const { observations, signature } = linesOf(resources)
  const heading = useRef<HTMLHeadingElement>(null)
  useEffect(() => {
    heading.current?.focus({ preventScroll: true })
    // With the buttons above it, which come next.
    document.getElementById('sign')?.scrollIntoView()
  }, [resources])
  return (
    <section className="preview" aria-label={w.preview}>
      <h3 ref={heading} tabIndex={-1}>{w.willWrite(resources.length)}</h3>
      <div className="scroll" role="region" aria-label={w.preview} tabIndex={0}>
        <table lang="en" role="table">
          <thead lang={w.locale} role="rowgroup"><tr role="row">{w.previewColumns.map((name) => <th key={name} scope="col" role="columnheader">{name}</th>)}</tr></thead>
          <tbody role="rowgroup">{observations.map(({ what, where, value, status, how, was }, at) => (
            <tr key={at} role="row">
              <td role="cell">{what}</td><td role="cell">{where}</td><td role="cell" className="value">{value}{was && <small className="was">{was}</small>}</td>
              <td role="cell">{status}</td><td role="cell">{how}</td>
            </tr>
          ))}</tbody>
        </table>
      </div>
      {signature && <p>{w.signedBy(signer ? `${signer} (${signature.who})` : signature.who, w.timeOf(signature.when))}</p>}
      <details><summary>{w.everyMember}</summary><pre tabIndex={0}>{JSON.stringify(resources, null, 2)}</pre></details>
    </section>
  )
}
