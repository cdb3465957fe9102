import { useEffect, useRef, useState } from 'react'
import { ApiError, keepDraft, type DraftView } from './api.ts'

/** `kept`: the server has it. `waiting`: on its way, or the connection is gone and it is tried again. `lost`: the session is gone. */
export type DraftState = 'none' | 'waiting' | 'kept' | 'lost'

const REST_MS = 400
const AGAIN_MS = 4_000

/** Keeps the draft on the server a moment after each change, and again when the connection is back. */
export function useDraft(csrf: string, draft: DraftView, enabled: boolean): DraftState {
  const [state, setState] = useState<DraftState>('none')
  const text = JSON.stringify(draft)
  const kept = useRef(text)
  useEffect(() => {
    if (!enabled || text === kept.current) return
    setState('waiting')
    let timer = setTimeout(send, REST_MS)
    let over = false
    function send() {
      keepDraft(csrf, JSON.parse(text) as DraftView).then(() => {
        kept.current = text
        if (!over) setState('kept')
      }, (error: unknown) => {
        if (over) return
        if (error instanceof ApiError && error.code === 'ERR_SESSION') return setState('lost')
        timer = setTimeout(send, AGAIN_MS)
      })
    }
    const now = () => { clearTimeout(timer); send() }
    for (const event of ['online', 'pagehide']) window.addEventListener(event, now)
    return () => {
      over = true
      clearTimeout(timer)
      for (const event of ['online', 'pagehide']) window.removeEventListener(event, now)
    }
  }, [csrf, text, enabled])
  return state
}
