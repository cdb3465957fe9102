import { ApiError, type Held } from './api.ts'

/** Waits before each look: a record shows late what it took, and what it is still writing is not there yet. */
const LOOKS_MS = [1_000, 2_000, 4_000, 8_000]

/** Errors that a further look would meet again, and that the page has its own words for. */
const FINAL = ['ERR_SESSION', 'ERR_FORBIDDEN']

/**
 * Looks in the record for a signature whose answer was lost, again and again until all of it is there, four times at most once nobody is writing it
 * any more (our server says so for a minute at most). Undefined when the
 * record could not be asked, or someone has signed something else there meanwhile: then nobody can tell. Throws what a further look would not change.
 */
export async function lookedFor(look: () => Promise<Held>, wait: (ms: number) => Promise<void> = later): Promise<Held | undefined> {
  let held: Held | undefined
  for (let at = 0; at < LOOKS_MS.length;) {
    await wait(LOOKS_MS[at] ?? 0)
    const now = await look().catch(passOver)
    if (now === 'other') return undefined
    held = now ?? held
    if (held && held.there === held.of) return held
    if (!now?.isUnderWay) at++
  }
  return held
}

function passOver(error: unknown): 'other' | undefined {
  if (!(error instanceof ApiError) || FINAL.includes(error.code)) throw error
  return error.code === 'ERR_CONFLICT' ? 'other' : undefined
}

const later = (ms: number) => new Promise<void>((resolve) => { setTimeout(resolve, ms) })
