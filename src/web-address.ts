/**
 * One spelling of an http(s) address: scheme and host in lower case, no default port, no slash at the end. Undefined for anything else.
 * So that what an operator typed and what a browser, an EHR or a token says are the same address when they are.
 */
export function webAddress(typed: string): string | undefined {
  const url = URL.parse(typed)
  return url && /^https?:$/.test(url.protocol) ? url.href.replace(/\/+$/, '') : undefined
}
