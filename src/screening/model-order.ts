import type { ModelIdentity } from '../joints/finding.ts'

/** By semantic version, of models of one name; models of different names are not older or newer than each other. */
export function isOlderModel(one: ModelIdentity, other: ModelIdentity): boolean {
  return one.name === other.name && compared(one.version, other.version) < 0
}

function compared(one: string, other: string): number {
  const [a, b] = [one, other].map((version) => /^(\d+)\.(\d+)\.(\d+)(-.+)?$/.exec(version))
  if (!a || !b) return 0
  for (const part of [1, 2, 3]) {
    const difference = Number(a[part]) - Number(b[part])
    if (difference !== 0) return difference
  }
  return comparedSuffixes(a[4], b[4])
}

/** A pre-release comes before its release; two go by their parts, numbers as numbers and before words (SemVer 2.0.0, 11.4). */
function comparedSuffixes(one: string | undefined, other: string | undefined): number {
  if (one === undefined || other === undefined) return Number(one === undefined) - Number(other === undefined)
  const [a, b] = [one, other].map((suffix) => suffix.slice(1).split('.')) as [string[], string[]]
  for (const [at, part] of a.entries()) {
    const against = b[at]
    if (against === undefined) return 1
    if (part === against) continue
    const [isNumber, isOtherNumber] = [part, against].map((text) => /^\d+$/.test(text)) as [boolean, boolean]
    if (isNumber !== isOtherNumber) return isNumber ? -1 : 1
    if (isNumber) return Number(part) - Number(against)
    return part < against ? -1 : 1
  }
  return a.length - b.length
}
