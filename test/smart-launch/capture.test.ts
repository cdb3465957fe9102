import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from '@jest/globals'
import sharp, { type Sharp } from 'sharp'
import { makeTenant } from '../../src/config.ts'
import type { TakenPhoto } from '../../src/fhir/resources/photo-resources.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { renderPhoto } from '../../src/inference/render-photo.ts'
import { HAND_JOINTS } from '../../src/joints/hand-joint.ts'
import { CONSENT_VERSION } from '../../smart-launch/consent.ts'
import type { AppSession } from '../../smart-launch/server/app-session.ts'
import { openCaptureDesk, type CaptureDesk, type SentPhoto } from '../../smart-launch/server/capture-desk.ts'
import { localProblems } from '../../smart-launch/web/src/local-checks.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { openMemorySessions } from '../support/memory-sessions.ts'

const demo = await readFile(join(import.meta.dirname, '../../demo/photos/demo-1-left.jpg'))
/** As a phone makes it: turned, with place, camera and time inside. */
const phonePhoto = await sharp(demo).withExif({
  IFD0: { Make: 'PhoneMaker', Artist: 'Somebody', Orientation: '6' }, IFD3: { GPSLatitude: '52/1 30/1 0/1', GPSLatitudeRef: 'N' }
}).jpeg().toBuffer()
const tenant = makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir' })
const session = { tenant: 'clinic', patientId: 'pat-1', scope: 'patient/Media.crus', fhirUser: 'Patient/pat-1' } as AppSession
const now = Date.parse('2026-11-24T10:00:00Z')
const sent: SentPhoto = { bytes: phonePhoto, side: 'left', ageMs: 20_000, camera: 'back camera', consent: CONSENT_VERSION }

let looked: number
let written: TakenPhoto[]
let handed: string[]
let desk: CaptureDesk

beforeEach(() => {
  looked = 0
  written = []
  handed = []
  const engine: InferenceEngine = {
    ...openByteEngine(),
    assess: () => {
      looked++
      const joints = HAND_JOINTS.map((joint) => ({ joint, side: 'left' as const, kind: 'assessed' as const, probability: 0.9, inflamed: true }))
      const quality = { presence: 1, palmLengthPx: 300, sharpness: 1, brightness: 0.5 }
      return Promise.resolve({
        photoSha256: 's', width: 900, height: 900, model: { name: 'm', version: '1', digest: 'd' },
        hands: [{ side: 'left' as const, sideConfidence: 1, view: 'dorsal' as const, quality, landmarks: [], joints, regions: [] }]
      })
    },
    renderPhoto
  }
  desk = openCaptureDesk({
    engine,
    record: {
      writePhoto: async (_session, _tenant, photo, ledger) => {
        const known = await ledger.get('x')
        if (known?.photo) return known.photo
        written.push(photo)
        await ledger.put('x', { photo: `Media/${written.length}` })
        return `Media/${written.length}`
      }
    },
    sessions: openMemorySessions(),
    handOver: (_tenant, patientId, references) => Promise.resolve(void handed.push(patientId, ...references)),
    now: () => now
  })
})

describe('the capture page’s server', () => {
  test('looks at no photo without the person’s agreement to the words of today', async () => {
    for (const consent of ['', 'yes', '2020-01']) {
      await expect(desk.check({ ...sent, consent })).rejects.toMatchObject({ code: 'ERR_REQUEST_INVALID' })
      await expect(desk.save(session, tenant, { ...sent, consent })).rejects.toMatchObject({ code: 'ERR_REQUEST_INVALID' })
    }
    expect([looked, written]).toEqual([0, []])
  })

  test('knows which hands a sitting has saved, for this sitting alone', async () => {
    const mine = { ...session, csrf: 'mine' }
    expect(await desk.saved(mine)).toEqual([])
    await desk.save(mine, tenant, sent)
    expect([await desk.saved(mine), await desk.saved({ ...mine, csrf: 'other' })]).toEqual([['left'], []])
  })

  test('says whether a photo can be read, not what was found, and keeps nothing of it', async () => {
    expect(await desk.check(sent)).toEqual({ usable: true, readable: 11, problems: [] })
    expect([written, handed]).toEqual([[], []])
  })

  test('saves a photo upright and without any metadata, with side, time and camera', async () => {
    expect(await desk.save(session, tenant, sent)).toEqual({ reference: 'Media/1' })
    const [photo] = written
    expect(photo).toMatchObject({ side: 'left', patientId: 'pat-1', deviceName: 'back camera', operator: 'Patient/pat-1', takenAt: '2026-11-24T09:59:40.000Z' })
    const saved = Buffer.from(photo?.jpeg ?? [])
    const { exif, icc, xmp, orientation } = await sharp(saved).metadata()
    expect([exif, icc, xmp, orientation]).toEqual([undefined, undefined, undefined, undefined])
    expect(phonePhoto.includes('PhoneMaker')).toBe(true)
    expect(saved.includes('PhoneMaker') || saved.includes('Somebody') || saved.includes('GPS')).toBe(false)
    expect(handed).toEqual(['pat-1', 'Media/1'])
  })

  test('saves one photo once, however often and how fast it is sent', async () => {
    const all = await Promise.all([desk.save(session, tenant, sent), desk.save(session, tenant, sent), desk.save(session, tenant, sent)])
    all.push(await desk.save(session, tenant, sent))
    expect(all).toEqual(Array(4).fill({ reference: 'Media/1' }))
    expect(written.length).toBe(1)
  })

  test('saves nothing old, and nothing for a sign-in that may not', async () => {
    await expect(desk.save(session, tenant, { ...sent, ageMs: 25 * 3600_000 })).rejects.toMatchObject({ code: 'ERR_REQUEST_INVALID' })
    await expect(desk.save({ ...session, scope: 'patient/Media.rs' }, tenant, sent)).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
    expect(written).toEqual([])
  })
})

describe('the first look on the device', () => {
  const look = async (picture: Sharp, longSidePx = 2000) => {
    const { data, info } = await picture.resize(320, 320, { fit: 'inside' }).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
    return localProblems({ rgba: data, width: info.width, height: info.height, longSidePx })
  }

  test('finds nothing wrong with a good photo', async () => {
    expect(await look(sharp(demo))).toEqual([])
  })

  test('finds darkness, glare, blur and few pixels', async () => {
    expect(await look(sharp(await sharp(demo).linear(0.15, 0).toBuffer()))).toEqual(['dark'])
    expect(await look(sharp(await sharp(demo).linear(0.2, 230).toBuffer()))).toContain('bright')
    expect(await look(sharp(await sharp(demo).blur(14).toBuffer()))).toEqual(['blurred'])
    expect(await look(sharp(demo), 640)).toEqual(['small'])
  })
})
