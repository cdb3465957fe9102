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
 * which; without it a sub-folder is a person, and a photo outside any sub-folder a person of its own.
 */
export function photosOfPeople(folder: string): readonly PhotoOfPerson[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => file.split(sep).join('/'))
    .filter((file) => /\.(jpe?g|png|webp)$/i.test(file)).sort()
  const table = existsSync(join(folder, 'people.csv')) ? readPeople(readFileSync(join(folder, 'people.csv'), 'utf8')) : undefined
  return files.map((file) => {
    if (!table) return { file, person: file.includes('/') ? file.slice(0, file.indexOf('/')) : parse(file).name, ...UNKNOWN }
    const row = table.get(file)
    if (!row) throw new Error(`Expected a row for ${file} in people.csv but found none`)
    return { file, ...row }
  })
}

function readPeople(text: string): ReadonlyMap<string, Omit<PhotoOfPerson, 'file'>> {
  const [header = '', ...lines] = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  const columns = header.split(',').map((name) => name.trim().toLowerCase())
  for (const needed of ['photo', 'person'])
    if (!columns.includes(needed)) throw new Error(`Expected a column ${needed} in people.csv but received ${header}`)
  return new Map(lines.map((line, at) => {
    const cells = line.split(',').map((cell) => cell.trim())
    const cell = (name: string) => cells[columns.indexOf(name)] || undefined
    const [photo, person] = [cell('photo'), cell('person')]
    if (!photo || !person) throw new Error(`Expected photo and person in line ${at + 2} of people.csv`)
    const number = (name: string, low: number, high: number) => {
      const value = cell(name)
      if (value === undefined) return null
      if (Number(value) >= low && Number(value) <= high) return Number(value)
      throw new Error(`Expected ${name} from ${low} to ${high} in line ${at + 2} of people.csv but received ${value}`)
    }
    const sex = cell('sex')?.toLowerCase()
    return [photo, {
      person, skinTone: number('skintone', 1, 10), age: number('age', 0, 120), sex: sex === 'female' || sex === 'male' ? sex : null
    }]
  }))
}
