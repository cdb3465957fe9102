import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import type { Observation } from '@medplum/fhirtypes'
import sharp from 'sharp'
import { readLabels } from '../../src/cli/labels-csv.ts'
import { openFolder } from '../../src/cli/labels-export.ts'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import type { JointDecision } from '../../src/fhir/resources/clinician-resources.ts'
import { openFhirSession, type FhirSession } from '../../src/fhir/session.ts'
import { signReview } from '../../src/fhir/sign-review.ts'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { boxOf, exportLabels, type LabelExport } from '../../src/screening/export-labels.ts'
import { screeningSources } from '../../src/screening/screening-input.ts'
import { openCardStore } from '../../src/screening/store/card-store.ts'
import { openFeedbackStore } from '../../src/screening/store/feedback-store.ts'
import type { Store } from '../../src/screening/store/open-store.ts'
import { emptyStore, openHouse, openTestEngine, type ScreeningHouse } from '../support/screening-house.ts'
import { openTestStore } from '../support/test-store.ts'

let engine: InferenceEngine
let store: Store
let house: ScreeningHouse
let egress: Egress
let session: FhirSession
let out: string

beforeAll(async () => {
  engine = await openTestEngine()
  store = await openTestStore()
})
afterAll(async () => {
  await engine.close()
  await store.close()
})
beforeEach(async () => {
  house = await openHouse(engine, {}, { store })
  egress = egressForTenant(house.tenant)
  session = openFhirSession({ tenant: house.tenant, egress, tokens: fixedToken('t') })
  out = await mkdtemp(join(tmpdir(), 'jointlens-labels-'))
})
afterEach(async () => {
  await egress.close()
  await house.close()
  await emptyStore(store)
  await rm(out, { recursive: true, force: true })
})

const DECISIONS: readonly JointDecision[] = [
  { side: 'left', joint: 'mcp2', call: 'swollen' }, { side: 'left', joint: 'pip3', call: 'not-swollen' },
  { side: 'left', joint: 'ip1', call: 'not-assessable' }, { side: 'right', joint: 'wrist', call: 'not-swollen' }
]

/** Photos of both hands, screened; signed where decisions are given. */
async function visit(patientId: string, decisions: readonly JointDecision[] = []) {
  await house.addPhoto(patientId, 'demo-1-left')
  await house.addPhoto(patientId, 'demo-1-right')
  await house.service.request('clinic', patientId, 'command')
  while (await house.service.runOnce());
  const { latest } = await house.service.status('clinic', patientId)
  if (!latest) throw new Error('Expected a result')
  if (decisions.length > 0)
    await signReview(session, {
      tenant: 'clinic', patientId, performer: 'Practitioner/doc-1', screeningId: latest.id, ...screeningSources(latest),
      findings: latest.findings, model: latest.model, signed: '2026-11-21T10:00:00Z', decisions
    })
  return latest
}

async function exported(): Promise<LabelExport> {
  const folder = await openFolder(out)
  const made = await exportLabels({ store, session, engine, tenant: 'clinic', write: folder.add })
  await folder.finish(made)
  return made
}

const table = () => readFile(join(out, 'labels.csv'), 'utf8')

describe('an export of labels', () => {
  test('holds what a clinician signed, beside the hand it was signed on, and nothing of a patient nobody signed', async () => {
    await visit('pat-1', DECISIONS)
    await visit('pat-2')
    const made = await exported()
    expect(made).toEqual({ patients: 1, hands: 2, joints: 3, swollen: 1, unsigned: 1, withoutPhoto: 0, cardsAnswered: 0, overruledOnCards: 0 })
    expect((await table()).split('\n')).toEqual([
      'photo,side,joint,label,patient,visit,how',
      expect.stringMatching(/^p0001-1-left\.jpg,left,mcp2,1,p0001,1,ai-assisted-(confirmed|corrected)$/),
      expect.stringMatching(/^p0001-1-left\.jpg,left,pip3,0,p0001,1,ai-assisted-(confirmed|corrected)$/),
      expect.stringMatching(/^p0001-1-right\.jpg,right,wrist,0,p0001,1,ai-assisted-(confirmed|corrected)$/),
      ''
    ])
    expect(JSON.parse(await readFile(join(out, 'export.json'), 'utf8'))).toEqual(made)
  })

  test('is a table that calibration reads as it is', async () => {
    await visit('pat-1', DECISIONS)
    await exported()
    expect(readLabels(await table())).toHaveLength(3)
  })

  test('names nobody: no id, no date, no metadata, and the picture shows the hand alone', async () => {
    const { photos } = await visit('pat-1', DECISIONS)
    await exported()
    const names = await readdir(out, { recursive: true })
    const text = `${names.join('\n')}\n${await table()}`
    expect(text).not.toContain('pat-1')
    for (const { id, created } of photos) for (const word of [id, created ?? '2026']) expect(text).not.toContain(word)
    expect(text).not.toMatch(/\d{4}-\d{2}-\d{2}/)
    const picture = sharp(join(out, 'photos', 'p0001-1-left.jpg'))
    const { exif, width, height } = await picture.metadata()
    expect(exif).toBeUndefined()
    const hand = photos.flatMap(({ assessment }) => assessment.hands).find(({ side }) => side === 'left')
    if (!hand) throw new Error('Expected a left hand')
    const box = boxOf(hand)
    expect([width, height].every((side, index) => side <= Math.ceil([box.width, box.height][index] ?? 0) + 1)).toBe(true)
  })

  test('is for its owner alone', async () => {
    await rm(out, { recursive: true })
    await visit('pat-1', DECISIONS)
    await exported()
    for (const name of ['', 'photos', 'labels.csv', 'photos/p0001-1-left.jpg']) expect([name, (await stat(join(out, name))).mode & 0o077]).toEqual([name, 0])
  })

  test('of a withdrawn answer or photo leaves it out and says so', async () => {
    const { photos } = await visit('pat-1', DECISIONS)
    const signed = await house.ehr.repository.searchResources<Observation>({ resourceType: 'Observation', count: 100 })
    const [wrist] = signed.filter(({ bodySite }) => bodySite?.text?.includes('rist'))
    if (!wrist) throw new Error('Expected the signed wrist')
    await house.ehr.repository.updateResource({ ...wrist, status: 'entered-in-error' })
    const left = photos.find(({ assessment }) => assessment.hands.some(({ side }) => side === 'left'))
    await house.ehr.repository.deleteResource('Media', left?.id ?? '')
    expect(await exported()).toMatchObject({ patients: 0, hands: 0, joints: 0, withoutPhoto: 1 })
  })

  test('counts answered cards and takes none of them for a label', async () => {
    await visit('pat-1')
    await store.query("insert into feedback (tenant, card_uuid, outcome, outcome_at, service_id, accepted) values ('clinic', 'c', 'accepted', now(), 'hand-joints', '[]')")
    expect(await exported()).toMatchObject({ joints: 0, unsigned: 1, cardsAnswered: 1 })
  })

  test('takes the joints of a card that was set aside after an examination for not swollen, unless somebody signed or answered otherwise since', async () => {
    const seen = await visit('pat-1', [{ side: 'left', joint: 'pip3', call: 'swollen' }])
    const flagged = [{ side: 'left', joint: 'mcp2' }, { side: 'left', joint: 'pip3' }]
    await store.query(
      `update screening set data = jsonb_set(data, '{findings}', (select jsonb_agg(case when exists
         (select from jsonb_to_recordset($1) as one(side text, joint text) where one.side = found ->> 'side' and one.joint = found ->> 'joint')
         then found || '{"inflamed": true}' else found || '{"inflamed": false}' end) from jsonb_array_elements(data -> 'findings') found))`, [JSON.stringify(flagged)])
    await openCardStore(store).put({ uuid: 'c', tenant: 'clinic', serviceId: 'hand-joints', patientId: 'pat-1', screeningId: seen.id, modelDigest: 'ab', suggestions: [], createdAt: '2026-11-21T09:00:00Z' })
    const feedback = openFeedbackStore(store)
    const answer = { tenant: 'clinic', serviceId: 'hand-joints', cardUuid: 'c', acceptedSuggestions: [] }
    await feedback.record({ ...answer, outcome: 'overridden', overrideReason: { code: 'not-swollen' }, outcomeTimestamp: '2026-11-21T09:05:00Z' })
    expect(await exported()).toMatchObject({ joints: 2, swollen: 1, cardsAnswered: 1, overruledOnCards: 1 })
    expect(await table()).toMatch(/^p0001-1-left\.jpg,left,mcp2,0,p0001,1,card-examined-not-swollen$/m)
    expect(await table()).toMatch(/left,pip3,1,/)
    await feedback.record({ ...answer, outcome: 'overridden', overrideReason: { code: 'poor-photo' }, outcomeTimestamp: '2026-11-21T09:10:00Z' })
    await rm(out, { recursive: true })
    expect(await exported()).toMatchObject({ joints: 1, cardsAnswered: 2, overruledOnCards: 0 })
  })

  test('is not written over another one', async () => {
    await writeFile(join(out, 'labels.csv'), 'mine')
    await expect(openFolder(out)).rejects.toMatchObject({ code: 'ERR_USAGE' })
    expect(await table()).toBe('mine')
  })
})
