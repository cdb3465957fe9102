import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { HandJoint, Laterality } from '../../src/joints/hand-joint.ts'
import { takePhoto } from './camera.ts'
import { melaninOf, sampleVisit } from './case-sampler.ts'
import type { CameraPlace, Grade, HandCase, JointStates, Surface } from './hand-case.ts'
import { loadHandModel } from './hand-mesh.ts'
import type { HandModel } from './hand-mesh.ts'
import { labelRow } from './label-row.ts'
import type { LabelRow } from './label-row.ts'
import { renderHand } from './render.ts'
import { SURFACE_JOINTS } from './surface-joint.ts'

/** The demo record's photos: node training/synthetic/demo-photos.ts writes demo/photos. */
interface DemoPhoto {
  readonly photo: string
  readonly patient: string
  readonly visit: number
  readonly side: Laterality
  /** Swollen joints and their grade, for example `mcp2:2 pip3:3`; every other joint is calm. */
  readonly swollen: string
  readonly blur?: number
}
interface DemoPatient { readonly monkTone: number, readonly age: number, readonly surface: Surface, readonly hue: number }

const SEED = 2026, SIZE_PX = 900, JPEG_QUALITY = 85, LAMPS = 18

const PATIENTS: Readonly<Record<string, DemoPatient>> = {
  'demo-1': { monkTone: 3, age: 58, surface: 'plain', hue: 0.6 },
  'demo-2': { monkTone: 7, age: 41, surface: 'paper', hue: 0.1 },
  'demo-3': { monkTone: 5, age: 66, surface: 'plain', hue: 0.35 },
  'demo-5': { monkTone: 5, age: 52, surface: 'wood', hue: 0.08 }
}

const PHOTOS: readonly DemoPhoto[] = [
  { photo: 'demo-1-left', patient: 'demo-1', visit: 1, side: 'left', swollen: 'pip3:3 mcp2:3' },
  { photo: 'demo-1-right', patient: 'demo-1', visit: 1, side: 'right', swollen: 'pip2:3 pip4:2 mcp3:3 wrist:3' },
  { photo: 'demo-2-left', patient: 'demo-2', visit: 1, side: 'left', swollen: '' },
  { photo: 'demo-2-right', patient: 'demo-2', visit: 1, side: 'right', swollen: '' },
  { photo: 'demo-3-left', patient: 'demo-3', visit: 1, side: 'left', swollen: 'pip3:2', blur: 14 },
  { photo: 'demo-5-2026-06-left', patient: 'demo-5', visit: 1, side: 'left', swollen: 'pip2:3 pip3:3 mcp2:3 mcp3:2' },
  { photo: 'demo-5-2026-06-right', patient: 'demo-5', visit: 1, side: 'right', swollen: 'pip3:3 pip4:3 mcp2:3 wrist:3' },
  { photo: 'demo-5-2026-11-left', patient: 'demo-5', visit: 2, side: 'left', swollen: 'pip3:2' },
  { photo: 'demo-5-2026-11-right', patient: 'demo-5', visit: 2, side: 'right', swollen: 'pip3:3' }
]

const out = process.argv[2] ?? fileURLToPath(new URL('../../demo/photos', import.meta.url))
mkdirSync(out, { recursive: true })
const model = loadHandModel()
const rows: LabelRow[] = []
for (const demo of PHOTOS) rows.push(await makePhoto(model, demo))
writeFileSync(join(out, 'labels.json'), `${JSON.stringify(rows, undefined, 2)}\n`)

async function makePhoto(model: HandModel, demo: DemoPhoto): Promise<LabelRow> {
  const hand = demoCase(demo)
  const rendering = renderHand(model, hand, { size: SIZE_PX, lamps: LAMPS })
  const photo = `${demo.photo}.jpg`
  const bytes = await takePhoto(rendering, hand.sensor, hand.seed)
  writeFileSync(join(out, photo), bytes)
  console.log(`${photo}: ${demo.swollen || 'no joint swollen'}, ${Math.round(bytes.length / 1000)} kB`)
  return labelRow({ photo, patient: demo.patient, visit: demo.visit, split: 'demo', seed: SEED }, hand, rendering.joints,
    { kappa: 1, prevalence: 0.1 })
}

/** A patient of the demo split with calm joints, plain surroundings and the whole hand in the frame. */
function demoCase({ patient, visit, side, swollen, blur = 0 }: DemoPhoto): HandCase {
  const { monkTone, age, surface, hue } = PATIENTS[patient]!
  const drawn = sampleVisit({ seed: SEED, split: 'demo', patient }, visit, 'natural')[side]
  const skin = { ...drawn.identity.skin, age: (age - 20) / 65, melanin: melaninOf(monkTone), redness: 0, spots: 0 }
  return {
    ...drawn, joints: swollenJoints(swollen), adornments: { polish: null, ring: null },
    identity: { ...drawn.identity, monkTone, ageYears: age, skin },
    background: { ...drawn.background, surface, hue, saturation: 0.14, value: 0.55 },
    light: { ...drawn.light, elevationDegrees: 58, softness: 0.25, key: 1, ambient: 0.8, warmth: 0.2 },
    pose: { ...drawn.pose, abductionDegrees: [4, 2, 0, 2, 4], straightening: 0.9 },
    camera: wholeHand(drawn.camera),
    sensor: {
      ...drawn.sensor, exposureStops: 0, noise: 0.005, contrast: 1.05, sharpen: 0.5, jpegQuality: JPEG_QUALITY, blur
    }
  }
}

function wholeHand({ rollDegrees, tiltDegrees: [x, y] }: CameraPlace): CameraPlace {
  return {
    distanceMm: 380, fieldOfViewDegrees: 36, offsetMm: [0, 6], rollDegrees: rollDegrees / 3, tiltDegrees: [x / 3, y / 3]
  }
}

function swollenJoints(notation: string): JointStates {
  const grades = new Map(notation.split(' ').filter(Boolean).map((entry) => {
    const [joint, grade] = entry.split(':')
    return [joint as HandJoint, Number(grade) as Grade]
  }))
  return Object.fromEntries(SURFACE_JOINTS.map((joint) => {
    const swelling = grades.get(joint as HandJoint) ?? 0
    return [joint, { swelling, erythema: 0.22 * swelling, node: 0 }]
  })) as JointStates
}
