import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join, parse, sep } from 'node:path'

/** One photo of the user's folder and whose hand it shows. What nobody says is null. */
export interface PhotoOfPerson {
  /** Path inside the folder, with `/`. */
  readonly file: string
  readonly person: string
  /** Monk Skin Tone 1..10. */
  readonly skinTone: number | null
  readonly age: number | null
  readonly sex: 'female' | 'male' | null
}

const UNKNOWN = { skinTone: null, age: null, sex: null } as const

/**
 * Every JPEG, PNG and WebP of a folder, in the order of their names. `people.csv` (photo,person[,skinTone,age,sex]) says whose hand is on
 * which; without it a sub-folder is a person, and a photo outside any sub-folder a person of its own. Without `people.csv`, where
 * `HandInfo.csv` of 11k Hands stands: the backs of hands that it names, as far as their photos are there (in `Hands/` or beside it), at most
 * `perHand` of each hand, spread over those there are.
 */
export function photosOfPeople(folder: string, perHand = Infinity): readonly PhotoOfPerson[] {
  const tables = { people: join(folder, 'people.csv'), handInfo: join(folder, 'HandInfo.csv') }
  if (!existsSync(tables.people) && existsSync(tables.handInfo)) return of11kHands(folder, readFileSync(tables.handInfo, 'utf8'), perHand)
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => file.split(sep).join('/'))
    .filter((file) => /\.(jpe?g|png|webp)$/i.test(file)).sort()
  const people = existsSync(tables.people) ? readPeople(readFileSync(tables.people, 'utf8')) : undefined
  return files.map((file) => {
    if (!people) return { file, person: file.includes('/') ? file.slice(0, file.indexOf('/')) : parse(file).name, ...UNKNOWN }
    const row = people.get(file)
    if (!row) throw new Error(`Expected a row for ${file} in people.csv but found none`)
    return { file, ...row }
  })
}

function of11kHands(folder: string, text: string, perHand: number): readonly PhotoOfPerson[] {
  const prefix = existsSync(join(folder, 'Hands')) ? 'Hands/' : ''
  const backs = readTable(text, 'HandInfo.csv', ['id', 'age', 'gender', 'aspectofhand', 'imagename'])
    .filter(({ cell }) => cell('aspectofhand')?.startsWith('dorsal') && existsSync(join(folder, prefix + cell('imagename'))))
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
  const ofHand = Map.groupBy(backs, ({ cell }) => `${cell('id')} ${cell('aspectofhand')}`)
  const taken = new Set([...ofHand.values()].flatMap((rows) => {
    const step = Math.max(1, Math.floor(rows.length / perHand))
    return rows.filter((_, at) => at % step === 0).slice(0, perHand)
  }))
  return backs.filter((row) => taken.has(row)).map(({ cell, number }) => ({
    file: prefix + cell('imagename'), person: `11k-${cell('id')}`, skinTone: null, age: number('age', 0, 120), sex: sexOf(cell('gender'))
  }))
}

const nameOf = ({ cell }: Row): string => cell('imagename') ?? ''

function readPeople(text: string): ReadonlyMap<string, Omit<PhotoOfPerson, 'file'>> {
  return new Map(readTable(text, 'people.csv', ['photo', 'person']).map(({ cell, number, line }) => {
    const [photo, person] = [cell('photo'), cell('person')]
    if (!photo || !person) throw new Error(`Expected photo and person in line ${line} of people.csv`)
    return [photo, { person, skinTone: number('skintone', 1, 10), age: number('age', 0, 120), sex: sexOf(cell('sex')) }]
  }))
}

interface Row {
  readonly line: number
  /** What stands in a column (its name in small letters), without quotes. */
  cell(name: string): string | undefined
  number(name: string, low: number, high: number): number | null
}

/** The lines of a table with commas. Throws for a column that is missing and, when it is asked for, for a number that is none. */
function readTable(text: string, file: string, needed: readonly string[]): readonly Row[] {
  const [header = '', ...lines] = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  const cellsOf = (line: string) => line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
  const columns = cellsOf(header).map((name) => name.toLowerCase())
  for (const name of needed)
    if (!columns.includes(name)) throw new Error(`Expected a column ${name} in ${file} but received ${header}`)
  return lines.map((text, at) => {
    const cells = cellsOf(text), line = at + 2
    const cell = (name: string) => cells[columns.indexOf(name)] || undefined
    const number = (name: string, low: number, high: number) => {
      const value = cell(name)
      if (value === undefined) return null
      if (Number(value) >= low && Number(value) <= high) return Number(value)
      throw new Error(`Expected ${name} from ${low} to ${high} in line ${line} of ${file} but received ${value}`)
    }
    return { line, cell, number }
  })
}

function sexOf(word: string | undefined): 'female' | 'male' | null {
  const sex = word?.toLowerCase()
  return sex === 'female' || sex === 'male' ? sex : null
}
