import { HAND_PLACES, type Work } from './work.ts'
import { fullJointName, useWords } from './words.ts'

/** What was called on earlier photos, joint by joint, and the button that takes it over. Nothing of it counts before. */
export function EarlierCalls({ calls, onTake }: { readonly calls: Work['calls']; onTake(): void }) {
  const w = useWords()
  if (calls.size === 0) return null
  return (
    <details className="earlier-calls">
      <summary>{w.earlierCalls(calls.size)}</summary>
      <ul>{HAND_PLACES.flatMap(({ side, joint, key }) => { const call = calls.get(key); return call ? [<li key={key}>{fullJointName(w, side, joint)}: {w.call[call].toLowerCase()}</li>] : [] })}</ul>
      <p>{w.earlierCallsNote}</p>
      <button type="button" onClick={onTake}>{w.takeOver}</button>
    </details>
  )
}
