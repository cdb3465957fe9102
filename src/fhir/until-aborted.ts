/** What comes of `value`, or the signal's reason as soon as it is aborted: what goes on behind is not waited for. */
export async function untilAborted<T>(value: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return value
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const abort = () => { aborted.reject(signal.reason as Error) }
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([value, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
