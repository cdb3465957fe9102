import { InvalidArgumentError } from 'commander'
import type { Edition } from './case-sampler.ts'

/** How the makers read the numbers of their command lines; what cannot be used is said by the command itself. */
export const wholeNumber = (text: string): number => {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Expected a whole number.')
  return Number(text)
}

export const share = (text: string): number => {
  const value = Number(text)
  if (!(value >= 0 && value <= 1)) throw new InvalidArgumentError('Expected a number from 0 to 1.')
  return value
}

export const editionOf = (text: string): Edition => {
  if (text !== '1' && text !== '2') throw new InvalidArgumentError('Expected 1 or 2.')
  return text === '1' ? 1 : 2
}
