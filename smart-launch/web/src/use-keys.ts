import { useEffect, useState } from 'react'

/** Keys of the whole page, but never while someone types into a field, reads the preview or moves a zoomed photo with the arrows. */
export function useKeys(onKey: (key: string) => boolean): void {
  useEffect(() => {
    const listen = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !(event.target instanceof Element)) return
      if (event.target.closest('input:not([type=checkbox]), textarea, select, pre, dialog[open], .scroll')) return
      if (event.key.startsWith('Arrow') && event.target.closest('input, .photo-frame')) return
      if (onKey(event.key)) event.preventDefault()
    }
    window.addEventListener('keydown', listen)
    return () => window.removeEventListener('keydown', listen)
  }, [onKey])
}

const LETTERS = 'jointlens.letters'

/** Whether single letters do something; remembered where the browser lets a frame remember anything. */
export function useLetters(): readonly [boolean, (on: boolean) => void] {
  const [on, setOn] = useState(() => remembered() !== 'off')
  return [on, (next) => {
    setOn(next)
    try {
      localStorage.setItem(LETTERS, next ? 'on' : 'off')
    } catch {
      // In a frame of another site there may be no storage: it then holds until the page is left.
    }
  }]
}

function remembered(): string | null {
  try {
    return localStorage.getItem(LETTERS)
  } catch {
    return null
  }
}
