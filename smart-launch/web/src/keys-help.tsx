import { useEffect, useRef } from 'react'
import { useWords } from './words.ts'

/** Which keys do what, and whether letters do anything at all: someone who dictates must be able to switch them off (WCAG 2.1.4). */
export function KeysHelp({ letters, onLetters, onClose }: { letters: boolean; onLetters(on: boolean): void; onClose(): void }) {
  const w = useWords()
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return (
    <dialog ref={dialog} aria-labelledby="keys-title" onClose={onClose}>
      <h2 id="keys-title">{w.keysTitle}</h2>
      <table>
        <thead className="visually-hidden"><tr><th scope="col">{w.keyColumn}</th><th scope="col">{w.doesColumn}</th></tr></thead>
        <tbody>{w.keys.map(([keys, does]) => (
          <tr key={does}><th scope="row">{keys.split(' ').map((key) => <kbd key={key}>{key}</kbd>)}</th><td>{does}</td></tr>
        ))}</tbody>
      </table>
      <p><label><input type="checkbox" checked={letters} onChange={() => onLetters(!letters)} /> {w.lettersOn}</label></p>
      <button type="button" className="primary" onClick={() => dialog.current?.close()}>{w.close}</button>
    </dialog>
  )
}
