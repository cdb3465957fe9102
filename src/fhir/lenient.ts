import { z } from 'zod'

/**
 * Servers send null for what they do not have, numbers as text and text as numbers. What we can do without is left out when it cannot
 * be read, so that one odd member does not make a photo, or a whole record, unreadable.
 */
export function maybe<T extends z.ZodType>(schema: T) {
  return schema.nullish().catch(undefined).transform((value): z.output<T> | undefined => value ?? undefined)
}

/** What may be left out may be null as well, and is then not there; anything else must be readable. */
export function orNull<T extends z.ZodType>(schema: T) {
  return schema.nullish().transform((value): z.output<T> | undefined => value ?? undefined)
}

/** What of a list can be read; none where it is no list. That most lists are absent is said first: it is no failure. */
export function some<T extends z.ZodType>(schema: T) {
  const compiled = z.compile(schema)
  return z.array(z.unknown()).nullish().catch(undefined).transform((list) => (list ?? []).flatMap((one): z.output<T>[] => {
    const { success, data } = compiled.safeParse(one)
    return success ? [data] : []
  }))
}

/** Text, or a number that should have been text; undefined for an empty one. */
export const word = maybe(z.union([z.string(), z.number().transform(String)])).transform((value) => value === '' ? undefined : value)

/** A whole number, or the digits of one. */
export const whole = maybe(z.union([z.number(), z.string().regex(/^\s*\d+\s*$/).transform(Number)]).pipe(z.number().int().nonnegative()))

/** A truth value, or the word for it. */
export const truth = maybe(z.union([z.boolean(), z.enum(['true', 'false']).transform((value) => value === 'true')]))
