import { useEffect, useRef, useState } from 'react'
import { ApiError, keepDraft, type DraftView } from './api.ts'

/** `none`: nothing to keep, or on its way. `kept`: the server has it. `waiting`: it did not arrive and is tried again. `lost`: the session is gone. */
export type DraftState = 'none' | 'waiting' | 'kept' | 'lost'

const REST_MS = 400
const AGAIN_MS = 4_000

/** The page goes, or the connection is back. A page that is loaded again asks for the draft at once: it is sent before the page begins to go. */
const AT_ONCE = ['online', 'beforeunload', 'pagehide']

/**
 * Keeps the draft on the server a moment after each change, and again when the connection is back. `isThere`: the server has what the page begins with.
 * `knows`: the newest signature that the page knows of when it sends.
 */
export function useDraft(csrf: string, draft: DraftView, enabled: boolean, isThere: boolean, knows: { readonly current: string | undefined }): DraftState {
  const [state, setState] = useState<DraftState>('none')
  const text = JSON.stringify(draft)
  const kept = useRef(isThere ? text : '')
  useEffect(() => {
    if (!enabled || text === kept.current) return
    setState((before) => (before === 'waiting' ? before : 'none'))
    let timer = setTimeout(send, REST_MS)
    let over = false
    function send() {
      keepDraft(csrf, JSON.parse(text) as DraftView, knows.current).then(() => {
        kept.current = text
        if (!over) setState('kept')
      }, (error: unknown) => {
        if (over) return
        if (error instanceof ApiError && error.code === 'ERR_SESSION') return setState('lost')
        setState('waiting')
        timer = setTimeout(send, AGAIN_MS)
      })
    }
    // What is kept is not sent again: another window may have gone on meanwhile.
    const now = () => { if (text !== kept.current) { clearTimeout(timer); send() } }
    for (const event of AT_ONCE) window.addEventListener(event, now)
    return () => {
      over = true
      clearTimeout(timer)
      for (const event of AT_ONCE) window.removeEventListener(event, now)
    }
  }, [csrf, text, enabled, knows])
  return state
}
