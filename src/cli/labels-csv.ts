import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { ScreeningError } from '../errors.ts'
import { isHandJoint, type HandJoint, type Laterality } from '../joints/hand-joint.ts'

/** One row of a site's labels: what a clinician found at one joint of one photo. */
export interface JointLabel {
  /** Name of the file in the folder of photos. */
  readonly photo: string
  readonly side: Laterality
  readonly joint: HandJoint
  readonly swollen: boolean
  /** Present in every row or in none. */
  readonly patient?: string
  /** Of this patient; absent where the table does not say. */
  readonly visit?: string
}

const COLUMNS = ['photo', 'side', 'joint', 'label'] as const
const OPTIONAL = ['patient', 'visit'] as const
/** Faults that are named at once. */
const SHOWN = 5

/**
 * `photo,side,joint,label[,patient][,visit]` with a header, columns in any order, fields quoted where they hold commas (RFC 4180);
 * semicolons and tabs separate too, as spreadsheets of many countries write them. Throws ERR_CALIBRATION_DATA with the lines of the first
 * faults. `read_labels` of training/ reads the same tables.
 */
export function readLabels(csv: string): readonly JointLabel[] {
  const text = csv.replace(/^\uFEFF/, '')
  const fieldsOf = splitter(text)
  const [header, ...rows] = text.split(/\r?\n/).map((line, index) => ({ line: index + 1, fields: fieldsOf(line) }))
    .filter(({ fields }) => fields.some((field) => field !== ''))
  const names = header?.fields.map((name) => name.toLowerCase()) ?? []
  const missing = COLUMNS.filter((name) => !names.includes(name))
  if (missing.length > 0) throw fault(`Expected the columns photo, side, joint and label but received none called ${missing.join(', ')}`)
  const doubled = [...COLUMNS, ...OPTIONAL].find((name) => names.indexOf(name) !== names.lastIndexOf(name))
  if (doubled !== undefined) throw fault(`Expected one column called ${doubled} but received several`)
  if (rows.length === 0) throw fault('Expected labels below the header but received none')
  const read = rowReader(names)
  const found = rows.map(read)
  const faults = found.filter((one) => typeof one === 'string')
  if (faults.length > 0) throw fault([...faults.slice(0, SHOWN), ...(faults.length > SHOWN ? [`and ${faults.length - SHOWN} more faults`] : [])].join('; '))
  return found.filter((one) => typeof one !== 'string')
}

/** The same from a file; one that cannot be read is ERR_USAGE. */
export async function readLabelsFile(path: string): Promise<readonly JointLabel[]> {
  const bytes = await readFile(path).catch((cause: unknown) => {
    throw new ScreeningError('ERR_USAGE', `Expected a table of labels (CSV) at "${path}" but it cannot be read`, { cause })
  })
  return readLabels(decoded(bytes, path))
}

function decoded(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new ScreeningError('ERR_CALIBRATION_DATA', `Expected "${path}" in UTF-8 but it is in another encoding; save it as CSV UTF-8`, { cause })
  }
}

interface Row { readonly line: number; readonly fields: readonly string[] }

/** A row's label, or what is wrong with it, given the rows before it: a photo belongs to one visit of one patient, and a patient has one name. */
function rowReader(names: readonly string[]): (row: Row) => JointLabel | string {
  const labelled = new Set<string>()
  const first = { patients: new Map<string, string>(), whose: new Map<string, string>(), visits: new Map<string, string>() }
  const differs = (known: Map<string, string>, key: string, value: string): string | undefined => {
    const before = known.get(key)
    if (before === undefined) known.set(key, value)
    return before === undefined || before === value ? undefined : before
  }
  return ({ line, fields }) => {
    const field = (name: string) => fields[names.indexOf(name)] ?? ''
    const expected = (what: string, value: string) => `Expected ${what} in line ${line} but received "${value}"`
    const beyond = fields.slice(names.length).find((value) => value !== '')
    if (beyond !== undefined) return expected(`${names.length} fields, as in the header,`, beyond)
    const label = toLabel(field, names.includes('patient'), expected)
    if (typeof label === 'string') return label
    const { photo, side, joint, patient = '', visit = '' } = label
    const spelt = differs(first.patients, samePerson(patient), patient)
    if (spelt !== undefined) return expected(`one way to write the patient "${spelt}"`, patient)
    const whose = differs(first.whose, photo, patient)
    if (whose !== undefined) return expected(`the patient ${whose} of ${photo}`, patient)
    const when = differs(first.visits, photo, visit)
    if (when !== undefined) return expected(`the visit ${when} of ${photo}`, visit)
    const key = JSON.stringify([photo, side, joint])
    if (labelled.has(key)) return expected('one label for each joint of a photo', `a second one for ${side} ${joint}`)
    labelled.add(key)
    return label
  }
}

function toLabel(field: (name: string) => string, hasPatient: boolean, expected: (what: string, value: string) => string): JointLabel | string {
  const [side, joint, swollen] = [SIDES.get(field('side').toLowerCase()), jointOf(field('joint')), LABELS.get(field('label').toLowerCase())]
  const [patient, visit] = [field('patient'), field('visit')]
  const photo = field('photo') === '' ? '.' : posix.normalize(field('photo').replaceAll('\\', '/'))
  if (photo === '.' || photo.startsWith('/') || photo.split('/').includes('..')) return expected('a photo of the folder', field('photo'))
  if (side === undefined) return expected('left or right', field('side'))
  if (joint === undefined) return expected('a joint (wrist, mcp1 to mcp5, ip1, pip2 to pip5)', field('joint'))
  if (swollen === undefined) return expected('the label 1 (swollen) or 0 (a joint that nobody judged has no line)', field('label'))
  if (hasPatient && patient === '') return expected('a patient', patient)
  return { photo, side, joint, swollen, ...(hasPatient ? { patient } : {}), ...(visit === '' ? {} : { visit }) }
}

/** As clinicians and spreadsheets write them, in small letters; `site_labels.py` of training/ reads the same. */
const SIDES = new Map<string, Laterality>([['left', 'left'], ['l', 'left'], ['left hand', 'left'], ['links', 'left'],
  ['right', 'right'], ['r', 'right'], ['right hand', 'right'], ['rechts', 'right']])
const LABELS = new Map([...['1', '1.0', 'yes', 'y', 'true', 'swollen', 'ja'].map((word) => [word, true] as const),
  ...['0', '0.0', 'no', 'n', 'false', 'not swollen', 'nein'].map((word) => [word, false] as const)])
const FINGERS = ['1|1st|i|thumb|daumen', '2|2nd|ii|index', '3|3rd|iii|middle', '4|4th|iv|ring', '5|5th|v|little']
  .map((finger) => new RegExp(`^(?:(mcp|pip|ip)(?:${finger})|(?:${finger})(mcp|pip|ip))$`))

/** `MCP II`, `2nd MCP`, `index finger MCP` → `mcp2`; `Thumb IP`, `PIP 1` → `ip1`. Undefined for what is no joint of ours. */
function jointOf(text: string): HandJoint | undefined {
  const plain = text.toLowerCase().replaceAll(/[\s._-]|finger|joint/g, '')
  if (plain === 'wrist' || plain === 'handgelenk') return 'wrist'
  if (plain === 'ip') return 'ip1'
  for (const [index, finger] of FINGERS.entries()) {
    const found = finger.exec(plain)
    if (!found) continue
    const joint = `${found[1] ?? found[2]}${index + 1}`.replace(/^pip1$/, 'ip1')
    return isHandJoint(joint) ? joint : undefined
  }
  return undefined
}

/** Names that a person or a spreadsheet writes in two ways: P1 and p1, 7 and 007, "A 3" and A3. */
const samePerson = (patient: string) => patient.toLowerCase().replace(/\s/g, '').replace(/(?<!\d)0+(?=\d)/g, '')

/** What stands most often in the header separates. */
function splitter(text: string): (line: string) => readonly string[] {
  const header = text.slice(0, text.search(/\n|$/))
  const times = (mark: string) => header.split(mark).length
  const mark = [',', ';', '\t'].reduce((most, other) => times(other) > times(most) ? other : most)
  const field = new RegExp(`(?:^|${mark})(?:"((?:[^"]|"")*)"|([^${mark}]*))`, 'g')
  return (line) => [...line.matchAll(field)].map(([, quoted, plain]) => (quoted?.replaceAll('""', '"') ?? plain ?? '').trim())
}

const fault = (message: string) => new ScreeningError('ERR_CALIBRATION_DATA', message)
