import { readFile } from 'node:fs/promises'
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

/**
 * `photo,side,joint,label[,patient][,visit]` with a header, columns in any order, fields quoted where they hold commas (RFC 4180).
 * Throws ERR_CALIBRATION_DATA with the line of the first fault.
 */
export function readLabels(csv: string): readonly JointLabel[] {
  const [header, ...rows] = csv.replace(/^\uFEFF/, '').split(/\r?\n/).map((line, index) => ({ line: index + 1, fields: splitFields(line) }))
    .filter(({ fields }) => fields.some((field) => field !== ''))
  const names = header?.fields.map((name) => name.toLowerCase()) ?? []
  const missing = COLUMNS.filter((name) => !names.includes(name))
  if (missing.length > 0) throw fault(`Expected the columns photo, side, joint and label but received none called ${missing.join(', ')}`)
  if (rows.length === 0) throw fault('Expected labels below the header but received none')
  const seen = new Set<string>()
  return rows.map(({ line, fields }) => {
    const label = toLabel((name) => fields[names.indexOf(name)] ?? '', names.includes('patient'), line)
    const key = JSON.stringify([label.photo, label.side, label.joint])
    if (seen.has(key)) throw fault(`Expected one label for each joint of a photo but received a second one in line ${line}`)
    seen.add(key)
    return label
  })
}

/** The same from a file; one that cannot be read is ERR_USAGE. */
export async function readLabelsFile(path: string): Promise<readonly JointLabel[]> {
  return readLabels(await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ScreeningError('ERR_USAGE', `Expected a table of labels (CSV) at "${path}" but it cannot be read`, { cause })
  }))
}

function toLabel(field: (name: string) => string, hasPatient: boolean, line: number): JointLabel {
  const [photo, side, patient, visit] = [field('photo'), field('side').toLowerCase(), field('patient'), field('visit')]
  const joint = field('joint').toLowerCase().replaceAll(' ', '')
  const expected = (what: string, value: string) => fault(`Expected ${what} in line ${line} but received "${value}"`)
  if (photo === '' || photo.split(/[/\\]/).includes('..')) throw expected('a photo of the folder', photo)
  if (side !== 'left' && side !== 'right') throw expected('left or right', side)
  if (!isHandJoint(joint)) throw expected('a joint (wrist, mcp1 to mcp5, ip1, pip2 to pip5)', joint)
  if (!['0', '1'].includes(field('label'))) throw expected('the label 1 (swollen) or 0', field('label'))
  if (hasPatient && patient === '') throw expected('a patient', patient)
  return { photo, side, joint, swollen: field('label') === '1', ...(hasPatient ? { patient } : {}), ...(visit === '' ? {} : { visit }) }
}

function splitFields(line: string): readonly string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain?.trim() ?? '')
}

const fault = (message: string) => new ScreeningError('ERR_CALIBRATION_DATA', message)
