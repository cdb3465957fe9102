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
  // A pre-release comes before its release; two of them are told apart by nobody here.
  return Number(a[4] === undefined) - Number(b[4] === undefined)
}
