import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import type { LabelRow } from './label-row.ts'

const USAGE = 'Usage: node training/synthetic/contact-sheet.ts DIR OUT.jpg [--columns 4] [--rows 4] [--cell 300] [--from 0]'

/** Puts photos of a rendered folder side by side, swollen joints circled, so that a person looks at them. */
const [folder, out, ...rest] = process.argv.slice(2)
if (folder === undefined || out === undefined) throw new Error(USAGE)
const columns = setting('--columns', 4), rowTotal = setting('--rows', 4), cell = setting('--cell', 300)

const first = setting('--from', 0)
const rows = readFileSync(join(folder, 'labels.jsonl'), 'utf8').trim().split('\n')
  .map((line) => JSON.parse(line) as LabelRow)
  .sort((a, b) => a.photo.localeCompare(b.photo))
  .slice(first, first + columns * rowTotal)
const cells = await Promise.all(rows.map(async (row, i) => ({
  input: await drawCell(folder, row), left: (i % columns) * cell, top: Math.floor(i / columns) * cell
})))
const sheet = sharp({ create: { width: columns * cell, height: rowTotal * cell, channels: 3, background: '#fff' } })
writeFileSync(out, await sheet.composite(cells).jpeg({ quality: 72, mozjpeg: true }).toBuffer())

function setting(name: string, fallback: number): number {
  const at = rest.indexOf(name)
  return at < 0 ? fallback : Number(rest[at + 1])
}

async function drawCell(photos: string, row: LabelRow): Promise<Buffer> {
  const image = sharp(join(photos, row.photo))
  const { width } = await image.metadata()
  const scale = (cell - 2) / width
  const swollen = HAND_JOINTS.filter((joint) => row.joints[joint].trueLabel === 1)
  const circles = swollen.map((joint) => {
    const [x, y] = row.trueJoints[joint]
    return `<circle cx="${x * scale}" cy="${y * scale}" r="${0.045 * cell}" fill="none" stroke="#fff" stroke-width="1.5"/>`
  })
  const caption = `${row.skinTone === null ? row.patient : `Monk ${row.skinTone}, ${row.age} y`}: ${swollen.length === 0 ? 'none' : swollen.length} swollen`
  const label = `<rect y="${cell - 18}" width="${cell}" height="18" fill="#000a"/>` +
    `<text x="4" y="${cell - 6}" font-size="11" font-family="sans-serif" fill="#fff">${caption}</text>`
  const overlay = Buffer.from(
    `<svg xmlns="http://www.w3.org/2000/svg" width="${cell - 2}" height="${cell - 2}">${circles.join('')}${label}</svg>`)
  return await image.resize(cell - 2, cell - 2).composite([{ input: overlay }]).toBuffer()
}
