import { describe, expect, test } from '@jest/globals'
import { makeTenant } from '../../src/config.ts'
import { ScreeningError } from '../../src/errors.ts'
import type { Screening, ScreeningService } from '../../src/screening/screening.ts'
import type { AppSession } from '../../smart-launch/server/app-session.ts'
import { openReviewDesk, type ReviewRecord } from '../../smart-launch/server/review-desk.ts'
import { openByteEngine } from '../support/byte-engine.ts'
import { openMemorySessions } from '../support/memory-sessions.ts'

const tenant = makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', mode: 'assist' })
const previewed = { at: new Date().toISOString(), digest: 'd'.repeat(43) }
const session = { tenant: 'clinic', patientId: 'pat-1', scope: 'patient/*.cruds', fhirUser: 'Practitioner/doc-1', appContext: 'Media/of-pat-2' } as AppSession

test('row 13: appContext is only a hint: another patient’s photo, map, preview and signature are refused and nothing is read', async () => {
  const asked: string[] = []
  const nothing = (name: string) => () => { asked.push(name); throw new Error(`Expected no ${name}`) }
  const desk = openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined, sessions: openMemorySessions(), now: () => Date.now(),
    screenings: {
      // The screenings of this patient, and of nobody else.
      history: (of: string, patient: string) => { asked.push(`history ${of} ${patient}`); return Promise.resolve([]) }
    } as unknown as ScreeningService,
    record: { photoBytes: nothing('photo'), previewFinal: nothing('preview'), writeFinal: nothing('write'), heldOf: nothing('look for what was written') } as unknown as ReviewRecord
  })
  const review = { screeningId: 'of-pat-2', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] } as const
  await expect(desk.photo(session, tenant, 'of-pat-2')).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  await expect(desk.map(session, tenant, 'of-pat-2', { side: 'left', joint: 'mcp2' })).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' })
  await expect(desk.preview(session, tenant, review)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
  await expect(desk.sign(session, tenant, review, previewed)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
  await expect(desk.held(session, tenant, review, previewed)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
  expect(new Set(asked)).toEqual(new Set(['history clinic pat-1']))
})

test.each([
  ['patient/Observation.rs', 'Practitioner/doc-1'], ['patient/Observation.cruds', 'Patient/pat-1'], ['patient/Observation.cruds', undefined], ['', 'Practitioner/doc-1']
])('row 36: with the scopes "%s" the user %s reads and signs nothing', async (scope, fhirUser) => {
  const desk = openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined, sessions: openMemorySessions(), now: () => Date.now(), screenings: {} as ScreeningService,
    record: { patient: () => Promise.resolve({ resourceType: 'Patient', id: 'pat-1' }) } as unknown as ReviewRecord
  })
  const { fhirUser: _other, ...rest } = session
  const limited: AppSession = { ...rest, scope, ...(fhirUser ? { fhirUser } : {}) }
  expect((await desk.describe(limited, tenant)).canSign).toBe(false)
  await expect(desk.sign(limited, tenant, { screeningId: 's', decisions: [] }, previewed)).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
})

test('the banner tells patients of one name apart: birth date and the numbers that are in use, the record number first', async () => {
  const identifier = [
    { value: 'old', use: 'old' }, { value: 'ran-out', period: { end: '2020-01-01' } }, { system: 'urn:x' }, { value: '756.1', type: { text: 'AHV' } },
    { value: 'MR-7', type: { coding: [{ code: 'MR', display: 'Medical record number' }] } }, { value: 'third' }
  ]
  const desk = openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined, sessions: openMemorySessions(), now: () => Date.parse('2026-11-26'), screenings: {} as ScreeningService,
    record: { patient: () => Promise.resolve({ resourceType: 'Patient', id: 'pat-1', name: [{ family: 'Meier', given: ['Anna'] }], birthDate: '1968-10-18', identifier }) } as unknown as ReviewRecord
  })
  for (const needPatientBanner of [true, false]) {
    expect(await desk.describe({ ...session, needPatientBanner }, tenant)).toMatchObject({
      needPatientBanner, patient: { name: 'Anna Meier', birthDate: '1968-10-18', identifiers: [{ label: 'Medical record number', value: 'MR-7' }, { label: 'AHV', value: '756.1' }] }
    })
  }
})

test('a correction needs the right to change Observations, and says what stands in the way', async () => {
  const desk = (uncorrectable?: string) => openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined, sessions: openMemorySessions(), now: () => Date.now(),
    screenings: { history: () => Promise.resolve([{ id: 's' }]) } as unknown as ScreeningService,
    record: { signedReview: () => Promise.resolve({ decisions: [], seen: {}, entries: [], ...(uncorrectable ? { uncorrectable } : {}) }) } as unknown as ReviewRecord
  })
  const creating = { ...session, scope: 'patient/Observation.crs' }
  expect((await desk().signed(session, tenant, 's'))).not.toHaveProperty('uncorrectable')
  expect((await desk('its /metadata lists no Observation update').signed(session, tenant, 's')).uncorrectable).toBe('no-updates')
  expect((await desk().signed(creating, tenant, 's')).uncorrectable).toBe('not-granted')
  await expect(desk().signed(session, tenant, 'of-pat-2')).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
  for (const refused of [desk().preview(creating, tenant, { screeningId: 's', decisions: [], corrects: {} }), desk().sign(creating, tenant, { screeningId: 's', decisions: [], corrects: {} }, previewed)])
    await expect(refused).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
})

describe('a review', () => {
  const photo = { resourceType: 'Media', id: 'photo-1', sha256: 'ab', assessment: { photoSha256: 'ab', width: 9, height: 9, hands: [{ side: 'left', joints: [{ probability: 0.9 }], regions: [] }] } }
  const screening = { id: 's-1', tenant: 'clinic', patientId: 'pat-1', photos: [photo], findings: [{ side: 'left', joint: 'mcp2', kind: 'assessed', probability: 0.9, inflamed: true }], count: { swollen: 1 }, written: [], photoTime: '2026-11-24T09:00:00Z' } as unknown as Screening
  const review = { screeningId: 's-1', decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] } as const
  let now: number
  let record: object[]
  let written: { at: string }[]
  let held: { there: number; of: number }
  let writing: Promise<void>
  let lookedAt: string[]
  let noted: string[]

  function opened() {
    now = Date.parse('2026-11-26T09:00:00Z')
    record = [{ resourceType: 'Observation', id: 'one' }]
    written = []
    writing = Promise.resolve()
    lookedAt = []
    noted = []
    return openReviewDesk({
      engine: openByteEngine(), calibrationOf: () => undefined, sessions: openMemorySessions(), now: () => now,
      screenings: {
        history: () => Promise.resolve([screening]), status: () => Promise.resolve({ latest: screening, pending: false }),
        signed: (...[tenant, id, { at, joints, isAll }]: Parameters<ScreeningService['signed']>) =>
          Promise.resolve(void noted.push([tenant, id, at, ...joints.map(({ side, joint }) => `${side}-${joint}`), ...(isAll ? ['alone'] : [])].join(' ')))
      } as unknown as ScreeningService,
      record: {
        previewFinal: (_session: unknown, _tenant: unknown, _screening: unknown, _review: unknown, at: string) => Promise.resolve({ resources: record.map((one) => ({ ...one, issued: at })) }),
        heldOf: (_session: unknown, _tenant: unknown, _screening: unknown, _review: unknown, at: string) => { lookedAt.push(at); return Promise.resolve(held) },
        writeFinal: async (_session: unknown, _tenant: unknown, _screening: unknown, _review: unknown, at: string, agreed: (resources: readonly object[]) => boolean) => {
          await writing
          if (!agreed(record.map((one) => ({ ...one, issued: at })))) throw new ScreeningError('ERR_CONFLICT', 'changed')
          written.push({ at })
          return ['Observation/1']
        }
      } as unknown as ReviewRecord
    })
  }

  test('is signed as it was previewed: same time, same resources; a second time after a dropped connection too', async () => {
    const desk = opened()
    const { previewed: seen, resources } = await desk.preview(session, tenant, review)
    expect(resources).toEqual([{ resourceType: 'Observation', id: 'one', issued: '2026-11-26T09:00:00.000Z' }])
    now += 60_000
    await desk.sign(session, tenant, review, seen)
    await desk.sign(session, tenant, review, seen)
    expect(written).toEqual([{ at: '2026-11-26T09:00:00.000Z' }, { at: '2026-11-26T09:00:00.000Z' }])
    expect(new Set(noted)).toEqual(new Set(['clinic s-1 2026-11-26T09:00:00.000Z left-mcp2']))
    noted = []
    const correction = { ...review, decisions: [{ side: 'right', joint: 'mcp2', call: 'swollen' }], corrects: {} } as const
    await desk.sign(session, tenant, correction, seen)
    expect(noted).toEqual(['clinic s-1 2026-11-26T09:00:00.000Z right-mcp2 alone'])
  })

  test('whose resources have changed since the preview, whose preview is old, of the future or made up, is not signed', async () => {
    const desk = opened()
    const { previewed: seen } = await desk.preview(session, tenant, review)
    for (const wrong of [{ ...seen, digest: 'x'.repeat(43) }, { ...seen, at: '2026-11-26T08:59:59.000Z' }, { ...seen, at: '2026-11-26T09:00:01.000Z' }, { ...seen, at: 'never' }])
      await expect(desk.sign(session, tenant, review, wrong)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    now += 31 * 60_000
    await expect(desk.sign(session, tenant, review, seen)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    now -= 31 * 60_000
    record.push({ resourceType: 'Observation', id: 'two' })
    await expect(desk.sign(session, tenant, review, seen)).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    expect([written, noted]).toEqual([[], []])
  })

  test('that is not finished is kept for the same person, patient and photos alone, and is gone once signed', async () => {
    const desk = opened()
    const draft = { screeningId: 's-1', decisions: review.decisions, tender: [], swollen: [], examinedAll: false, typed: { patientGlobal: '3' } }
    await desk.keepDraft(session, draft)
    const draftFor = async (who: AppSession) => (await desk.review(who, tenant) as { draft?: unknown }).draft
    expect(await draftFor(session)).toEqual(draft)
    const { fhirUser: _nobody, ...anonymous } = session
    for (const other of [{ ...session, fhirUser: 'Practitioner/doc-2' }, { ...session, patientId: 'pat-2' }, { ...session, tenant: 'other' }, anonymous]) expect(await draftFor(other)).toBeUndefined()
    await desk.keepDraft(anonymous, draft)
    expect(await draftFor(anonymous)).toBeUndefined()
    const { previewed: seen } = await desk.preview(session, tenant, review)
    await desk.sign(session, tenant, review, seen, draft)
    expect(await draftFor(session)).toBeUndefined()
    await desk.keepDraft(session, draft, seen.at)
    expect(await draftFor(session)).toEqual(draft)
    await desk.keepDraft(session, { ...draft, decisions: [], typed: {} })
    expect(await draftFor(session)).toBeUndefined()
  })

  test('of earlier photos that is not finished is found with the newer ones, until it is signed or something is entered for those', async () => {
    const desk = opened()
    const earlier = { screeningId: 's-0', decisions: review.decisions, tender: [], swollen: [], examinedAll: false, typed: { patientGlobal: '3' } }
    await desk.keepDraft(session, earlier)
    const found = async (who = session) => { const { draft, earlierDraft } = await desk.review(who, tenant) as { draft?: unknown; earlierDraft?: unknown }; return [draft, earlierDraft] }
    const calls = async (who = session) => (await desk.review(who, tenant) as { earlierCalls?: unknown }).earlierCalls
    expect([await found(), await calls()]).toEqual([[undefined, earlier], { screeningId: 's-0', decisions: review.decisions }])
    expect(await found({ ...session, fhirUser: 'Practitioner/doc-2' })).toEqual([undefined, undefined])
    expect(await found({ ...session, patientId: 'pat-2' })).toEqual([undefined, undefined])
    const carried = { ...earlier, screeningId: 's-1', decisions: [] }
    await desk.keepDraft(session, carried)
    expect(await found()).toEqual([carried, undefined])
    expect(await calls()).toEqual({ screeningId: 's-0', decisions: review.decisions })
    for (const other of [{ ...session, fhirUser: 'Practitioner/doc-2' }, { ...session, patientId: 'pat-2' }]) expect(await calls(other)).toBeUndefined()
    await desk.sign(session, tenant, review, (await desk.preview(session, tenant, review)).previewed, carried)
    expect(await found()).toEqual([undefined, undefined])
    await desk.keepDraft(session, { ...earlier, decisions: [], typed: {} })
    expect(await calls()).toBeUndefined()
  })

  test('whose answer was lost is looked for as it was sent, and its draft goes once all of it is there', async () => {
    const desk = opened()
    const draft = { screeningId: 's-1', decisions: review.decisions, tender: [], swollen: [], examinedAll: false, typed: {} }
    await desk.keepDraft(session, draft)
    const { previewed: seen } = await desk.preview(session, tenant, review)
    const kept = async () => (await desk.review(session, tenant) as { draft?: unknown }).draft !== undefined
    held = { there: 1, of: 2 }
    expect([await desk.held(session, tenant, review, seen), await kept()]).toEqual([held, true])
    held = { there: 2, of: 2 }
    expect([await desk.held(session, tenant, review, seen), await kept()]).toEqual([held, false])
    expect([lookedAt, written]).toEqual([[seen.at, seen.at], []])
    await expect(desk.held({ ...session, scope: 'patient/*.rs' }, tenant, review, seen)).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
  })

  describe('that is on its way to the record', () => {
    const draft = { screeningId: 's-1', decisions: review.decisions, tender: [], swollen: [], examinedAll: false, typed: { crpMgPerL: '12' } }
    const later = { ...draft, decisions: [...review.decisions, { side: 'right', joint: 'wrist', call: 'not-swollen' }] } as const
    const unsigned = { ...draft, decisions: [later.decisions[1]] }
    type Shown = { readonly draft?: unknown; readonly sent?: { readonly review: unknown; readonly previewed: unknown; readonly entered: unknown }; readonly newestSignature?: string }

    async function underWay() {
      const desk = opened()
      const shown = () => desk.review(session, tenant) as Promise<Shown>
      const { previewed: seen } = await desk.preview(session, tenant, review)
      let ends: { readonly resolve: () => void; readonly reject: (reason: Error) => void } = { resolve: () => undefined, reject: () => undefined }
      writing = new Promise<void>((resolve, reject) => { ends = { resolve, reject } })
      const signs = desk.sign(session, tenant, review, seen, draft)
      signs.catch(() => undefined)
      await new Promise((resolve) => { setTimeout(resolve, 5) })
      held = { there: 0, of: 2 }
      return { desk, seen, shown, ends, signs }
    }

    test('is told to a page that is loaded meanwhile, with what was entered; nobody else is told', async () => {
      const { desk, seen, shown, ends, signs } = await underWay()
      expect(await shown()).toMatchObject({ draft, sent: { review, previewed: seen, entered: draft } })
      expect(await desk.review({ ...session, fhirUser: 'Practitioner/doc-2' }, tenant)).not.toHaveProperty('sent')
      expect(await desk.held(session, tenant, review, seen)).toEqual({ ...held, isUnderWay: true })
      ends.resolve()
      await signs
      expect(await shown()).toMatchObject({ draft: { ...draft, decisions: [] }, newestSignature: seen.at })
      expect(await shown()).not.toHaveProperty('sent')
    })

    test('takes from the draft what it signs and nothing else: later calls and values that no score is made with stay, also of a page that does not know of it yet', async () => {
      const { desk, seen, shown, ends, signs } = await underWay()
      await desk.keepDraft(session, later)
      ends.resolve()
      await signs
      expect((await shown()).draft).toEqual(unsigned)
      await desk.keepDraft(session, later)
      expect((await shown()).draft).toEqual(unsigned)
      await desk.keepDraft(session, later, seen.at)
      expect((await shown()).draft).toEqual(later)
    })

    test.each([
      ['that the record refused is not looked for', new ScreeningError('ERR_CONFLICT', 'changed'), false],
      ['that the record did not answer is looked for', new ScreeningError('ERR_WRITE_AMBIGUOUS', 'lost'), true],
      ['of which a part was written is looked for', new ScreeningError('ERR_WRITE_PARTIAL', 'a part'), true],
      ['that a fault of ours ended is looked for', new Error('fault'), true]
    ])('%s, and nothing of the draft is lost', async (_name, error, isLookedFor) => {
      const { desk, seen, shown, ends, signs } = await underWay()
      ends.reject(error)
      await expect(signs).rejects.toBe(error)
      expect([(await shown()).draft, (await shown()).sent !== undefined]).toEqual([draft, isLookedFor])
      if (!isLookedFor) return
      expect(await desk.held(session, tenant, review, seen)).toEqual(held)
      expect(await shown()).toHaveProperty('sent')
      now += 14 * 60_000
      await desk.held(session, tenant, review, seen)
      expect(await shown()).toHaveProperty('sent')
      now += 60_000
      await desk.held(session, tenant, review, seen)
      expect(await shown()).not.toHaveProperty('sent')
      expect((await shown()).draft).toEqual(draft)
    })

    test('and whose process is gone is under way for a minute at most', async () => {
      const { desk, seen } = await underWay()
      now += 60_000
      expect(await desk.held(session, tenant, review, seen)).toEqual(held)
    })
  })

  test('in shadow mode the photos and where the joints lie are shown, nothing that the model says is, and nothing is written', async () => {
    const desk = opened()
    const shadow = makeTenant({ id: 'clinic', name: 'Clinic', fhirBase: 'https://ehr.example/fhir', mode: 'shadow' })
    const shown = await desk.review(session, shadow)
    expect(JSON.stringify(shown)).not.toMatch(/probability|inflamed|"swollen":1/)
    expect(shown.latest?.photos.map(({ id }) => id)).toEqual(['photo-1'])
    const seen = { at: new Date(now).toISOString(), digest: 'd'.repeat(43) }
    for (const refused of [desk.preview(session, shadow, review), desk.sign(session, shadow, review, seen), desk.map(session, shadow, 'photo-1', { side: 'left', joint: 'mcp2' })])
      await expect(refused).rejects.toMatchObject({ code: 'ERR_FORBIDDEN' })
    expect(written).toEqual([])
  })
})

describe('a correction that was begun for earlier photos', () => {
  const visit = (id: string) => ({ id, tenant: 'clinic', patientId: 'pat-1', photos: [], findings: [], written: [], photoTime: '2026-11-24T09:00:00Z' }) as unknown as Screening
  const draft = (screeningId: string, more: object = {}) => ({ screeningId, decisions: [{ side: 'left', joint: 'mcp2', call: 'swollen' }] as const, tender: [], swollen: [], examinedAll: false, typed: {}, ...more })
  const all = [visit('newest'), visit('before'), visit('first')]
  const desk = () => openReviewDesk({
    engine: openByteEngine(), calibrationOf: () => undefined, sessions: openMemorySessions(), now: () => Date.now(), record: {} as ReviewRecord,
    screenings: { history: () => Promise.resolve(all), status: () => Promise.resolve({ latest: all[0], pending: false }) } as unknown as ScreeningService
  })

  test('is named beside the newest photos, also when there is a draft of those, and is found again with its photos', async () => {
    const { keepDraft, review } = desk()
    const correction = draft('before', { corrects: { 'Observation/1': '1' } })
    await keepDraft(session, correction)
    expect(await review(session, tenant)).toMatchObject({ latest: { id: 'newest' }, earlierCorrection: 'before' })
    await keepDraft(session, draft('newest'))
    const newest = await review(session, tenant)
    expect(newest).toMatchObject({ latest: { id: 'newest' }, earlierCorrection: 'before', draft: { screeningId: 'newest' } })
    expect(newest).not.toHaveProperty('earlierCalls')
    const earlier = await review(session, tenant, 'before')
    expect(earlier).toMatchObject({ latest: { id: 'before' }, isEarlier: true, draft: correction })
    expect(earlier.history.map(({ id }) => id)).toEqual(['before', 'first'])
    for (const name of ['earlierCalls', 'earlierDraft', 'earlierCorrection']) expect(earlier).not.toHaveProperty(name)
  })

  test('is nobody else’s, and photos that are not this patient’s or not there any more are not shown', async () => {
    const { keepDraft, review } = desk()
    await keepDraft(session, draft('erased', { corrects: {} }))
    await keepDraft({ ...session, fhirUser: 'Practitioner/doc-2' }, draft('before', { corrects: {} }))
    for (const id of [undefined, 'newest', 'erased', 'of-pat-2']) {
      const shown = await review(session, tenant, id)
      expect([id, shown.latest?.id, 'isEarlier' in shown, 'earlierCorrection' in shown]).toEqual([id, 'newest', false, false])
    }
  })
})
