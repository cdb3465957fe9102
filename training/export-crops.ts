import { createWriteStream } from 'node:fs'
import { mkdir, open, readFile, type FileHandle } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'
import { parseArgs } from 'node:util'
import { isScreeningError } from '../src/errors.ts'
import { HAND_JOINTS, type HandJoint, type Laterality } from '../src/joints/hand-joint.ts'
import { decodePhoto, type Photo } from '../src/inference/decode-photo.ts'
import { LANDMARK_MODEL_DIGEST, openHandLocator, type HandLocator, type LocatedHand } from '../src/inference/hand-landmarks/hand-locator.ts'
import { coveredJoints } from '../src/inference/covered-joints.ts'
import { measureHandQuality } from '../src/inference/hand-quality.ts'
import { cropHand, type CropPlan } from '../src/inference/joint-crops.ts'
import { jointPatches } from '../src/inference/joint-patches.ts'

const USAGE = `Usage: node training/export-crops.ts --labels DIR/labels.jsonl --photos DIR --out OUT [--global 224] [--local 96] [--skip 0] [--limit N]

Cuts every labelled hand with the product's own code (guard, decode, locate, crop) and writes to OUT:
  global.npy u8 [N,global,global,3]   local.npy u8 [N,11,local,local,3]   xy.npy f32 [N,11,2]   mask.npy u8 [N,11]
  index.jsonl    per row of the arrays: the label, what was located, quality
  missing.jsonl  labels without a row, with the reason
  crops.json     how hands were cut, for the manifest`

/** A row of labels.jsonl. Everything is copied to the index; only these two are read. */
interface Label {
  readonly photo: string
  readonly side: Laterality
}

/** The crops of the method (training section 1): a hand box plus 15 %, squares of 1, 0.55 and 0.45 palm lengths. */
const PLAN = { globalMargin: 0.15, scales: { wrist: 1, mcp: 0.55, pip: 0.45 }, mcpProximalShift: 0 } as const

const NPY_HEADER_BYTES = 128

const { values: options } = parseArgs({
  options: {
    labels: { type: 'string' }, photos: { type: 'string' }, out: { type: 'string' },
    global: { type: 'string', default: '224' }, local: { type: 'string', default: '96' },
    skip: { type: 'string', default: '0' }, limit: { type: 'string', default: 'Infinity' }, help: { type: 'boolean', default: false }
  }
})
if (options.help || !options.labels || !options.photos || !options.out) {
  console.error(USAGE)
  process.exit(options.help ? 0 : 2)
}
const plan: CropPlan = { ...PLAN, globalSizePx: sizeOf('global', options.global), localSizePx: sizeOf('local', options.local) }
const labels = (await readLabels(options.labels)).slice(Number(options.skip), Number(options.skip) + Number(options.limit))
await exportCrops(labels, { photos: options.photos, out: options.out, plan })

async function exportCrops(labels: readonly Label[], { photos, out, plan }: { photos: string; out: string; plan: CropPlan }): Promise<void> {
  await mkdir(out, { recursive: true })
  const { globalSizePx: S, localSizePx: h } = plan
  const joints = HAND_JOINTS.length
  const arrays = {
    global: await openNpy(join(out, 'global.npy'), '|u1', [S, S, 3]),
    local: await openNpy(join(out, 'local.npy'), '|u1', [joints, h, h, 3]),
    xy: await openNpy(join(out, 'xy.npy'), '<f4', [joints, 2]),
    mask: await openNpy(join(out, 'mask.npy'), '|u1', [joints])
  }
  const index = createWriteStream(join(out, 'index.jsonl'))
  const missing = createWriteStream(join(out, 'missing.jsonl'))
  const locator = await openHandLocator()
  const started = performance.now()
  let rows = 0
  for await (const [label, found] of locateAll(labels, photos, locator)) {
    if ('missing' in found) {
      missing.write(`${JSON.stringify({ ...label, reason: found.missing })}\n`)
    } else {
      const { photo, hand } = found
      const crops = cropHand(photo, hand, plan)
      const patches = jointPatches(photo, hand)
      const covered = coveredJoints(patches)
      await arrays.global.append(crops.global)
      await arrays.local.append(crops.local)
      await arrays.xy.append(new Uint8Array(crops.xy.buffer))
      await arrays.mask.append(crops.mask.map((inFrame, index) => covered.has(HAND_JOINTS[index] as HandJoint) ? 0 : inFrame))
      index.write(`${JSON.stringify({
        ...label, row: rows, located: { side: hand.side, sideConfidence: round(hand.sideConfidence), view: hand.view },
        quality: measureHandQuality(photo, hand, patches), landmarksDigest: LANDMARK_MODEL_DIGEST
      })}\n`)
      rows += 1
    }
    progress(found.done, labels.length, rows, started)
  }
  for (const array of Object.values(arrays)) await array.close()
  index.end()
  missing.end()
  await locator.close()
  await writeJson(join(out, 'crops.json'), { rows, missing: labels.length - rows, plan, jointOrder: HAND_JOINTS, landmarksDigest: LANDMARK_MODEL_DIGEST })
}

type Found = { readonly done: number } & ({ readonly photo: Photo; readonly hand: LocatedHand } | { readonly missing: string })

/** The next photo is read and decoded while the networks look at this one. A photo with two labelled hands is read once. */
async function* locateAll(labels: readonly Label[], photos: string, locator: HandLocator): AsyncGenerator<[Label, Found]> {
  const root = resolve(photos)
  const read = async (name: string) => {
    const path = resolve(root, name)
    if (!path.startsWith(root + sep)) throw new Error(`Expected a photo inside ${root} but received ${name}`)
    return decodePhoto(await readFile(path))
  }
  let current: { name: string; photo: Promise<Photo>; hands?: readonly LocatedHand[] } | undefined
  const start = (label: Label | undefined) => {
    if (!label) return undefined
    if (label.photo === current?.name) return current
    const photo = read(label.photo)
    photo.catch(() => undefined)
    return { name: label.photo, photo }
  }
  let next = start(labels[0])
  for (const [at, label] of labels.entries()) {
    current = next
    if (!current) return
    next = start(labels[at + 1])
    const done = at + 1
    try {
      const photo = await current.photo
      const hands = current.hands ??= await locator.locate(photo)
      yield [label, { done, ...choose(photo, hands, label.side) }]
    } catch (error) {
      if (!isScreeningError(error) && !isFileMissing(error)) throw error
      yield [label, { done, missing: error.code }]
    }
  }
}

/** The hand of the labelled side, when it shows its back as the product demands. */
function choose(photo: Photo, hands: readonly LocatedHand[], side: Laterality): { photo: Photo; hand: LocatedHand } | { missing: string } {
  if (hands.length === 0) return { missing: 'no-hand' }
  const ofSide = hands.filter((hand) => hand.side === side)
  const hand = ofSide.find(({ view }) => view === 'dorsal')
  if (hand) return { photo, hand }
  return { missing: ofSide[0] ? `${ofSide[0].view}-view` : 'other-side' }
}

interface NpyWriter {
  append(row: Uint8Array): Promise<void>
  close(): Promise<void>
}

/** A NumPy array that grows row by row: the header (format 1.0) has a fixed size and gets its row count when closed. */
async function openNpy(path: string, dtype: '|u1' | '<f4', row: readonly number[]): Promise<NpyWriter> {
  const file: FileHandle = await open(path, 'w')
  const rowBytes = row.reduce((product, size) => product * size, dtype === '<f4' ? 4 : 1)
  let rows = 0
  await file.write(npyHeader(dtype, [0, ...row]), 0, NPY_HEADER_BYTES, 0)
  return {
    async append(bytes) {
      if (bytes.length !== rowBytes) throw new Error(`Expected ${rowBytes} bytes in a row of ${path} but received ${bytes.length}`)
      await file.write(bytes, 0, rowBytes, NPY_HEADER_BYTES + rows * rowBytes)
      rows += 1
    },
    async close() {
      await file.write(npyHeader(dtype, [rows, ...row]), 0, NPY_HEADER_BYTES, 0)
      await file.close()
    }
  }
}

function npyHeader(dtype: string, shape: readonly number[]): Buffer {
  const text = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`
  const header = Buffer.alloc(NPY_HEADER_BYTES, ' ')
  header.write('\x93NUMPY\x01\x00', 0, 'latin1')
  header.writeUInt16LE(NPY_HEADER_BYTES - 10, 8)
  header.write(text, 10, 'latin1')
  header.write('\n', NPY_HEADER_BYTES - 1)
  return header
}

async function readLabels(path: string): Promise<readonly Label[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line.trim() !== '')
  return lines.map((line, at) => {
    const label = JSON.parse(line) as Partial<Label>
    if (typeof label.photo !== 'string' || (label.side !== 'left' && label.side !== 'right'))
      throw new Error(`Expected photo and side in line ${at + 1} of ${path}`)
    return label as Label
  })
}

function progress(done: number, total: number, rows: number, started: number): void {
  if (done % 50 !== 0 && done !== total) return
  const perSecond = done / ((performance.now() - started) / 1000)
  console.error(`${done}/${total} photos, ${rows} hands, ${perSecond.toFixed(1)}/s, ${Math.ceil((total - done) / perSecond)} s to go`)
}

function sizeOf(name: string, value: string): number {
  const size = Number(value)
  if (Number.isInteger(size) && size >= 16 && size <= 1024) return size
  console.error(`Expected --${name} between 16 and 1024 pixels but received ${value}`)
  process.exit(2)
}

async function writeJson(path: string, value: unknown): Promise<void> {
  const file = await open(path, 'w')
  await file.writeFile(`${JSON.stringify(value, null, 2)}\n`)
  await file.close()
}

function round(value: number): number {
  return Math.round(value * 1e4) / 1e4
}

function isFileMissing(error: unknown): error is Error & { code: string } {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
