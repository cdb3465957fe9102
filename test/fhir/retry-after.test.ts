import { afterEach, describe, expect, test } from '@jest/globals'
import { fixedToken } from '../../src/fhir/backend-auth.ts'
import { egressForTenant, type Egress } from '../../src/fhir/egress.ts'
import { MAX_RETRY_AFTER_MS, retryAtOf } from '../../src/fhir/retry-after.ts'
import { openFhirSession } from '../../src/fhir/session.ts'
import { startWitness, type Witness } from '../faults/witness/witness.ts'
import { loopbackTenant } from '../support/screening-sample.ts'

const NOW = Date.parse('2026-11-24T12:00:00.500Z')

describe('Retry-After', () => {
  test.each<[string, string, number | undefined]>([
    ['seconds', '120', 120_000],
    ['zero', '0', 0],
    ['a date', 'Tue, 24 Nov 2026 12:00:30 GMT', 29_500],
    ['a date that is past', 'Tue, 24 Nov 2026 11:00:00 GMT', 0],
    ['a day', '86400', MAX_RETRY_AFTER_MS],
    ['a year as a date', 'Wed, 24 Nov 2027 12:00:00 GMT', MAX_RETRY_AFTER_MS],
    ['words', 'in a moment', undefined],
    ['a negative number', '-5', undefined],
    ['a fraction', '1.5', undefined],
    ['a date of another kind', '2026-11-24T12:00:30Z', undefined],
    ['nothing', '', undefined]
  ])('%s', (_, value, waitMs) => {
    const at = retryAtOf({ status: 503, headers: new Headers({ 'retry-after': value }) }, NOW)
    expect(at === undefined ? undefined : at - NOW).toBe(waitMs)
  })

  test('a date is read against the clock of the server that sent it', () => {
    const headers = new Headers({ 'retry-after': 'Tue, 24 Nov 2026 13:00:10 GMT', date: 'Tue, 24 Nov 2026 13:00:00 GMT' })
    expect(retryAtOf({ status: 429, headers }, NOW)).toBe(NOW + 10_000)
  })

  test('comes from Azure in milliseconds, which Retry-After goes before', () => {
    const at = (headers: Record<string, string>) => (retryAtOf({ status: 429, headers: new Headers(headers) }, NOW) ?? NaN) - NOW
    expect(at({ 'x-ms-retry-after-ms': '2500' })).toBe(2_500)
    expect(at({ 'x-ms-retry-after-ms': '2500', 'retry-after': '3' })).toBe(3_000)
    expect(at({ 'x-ms-retry-after-ms': 'soon' })).toBeNaN()
  })

  test('is nothing to a 500, and to an answer', () => {
    const headers = new Headers({ 'retry-after': '5' })
    expect([500, 200].map((status) => retryAtOf({ status, headers }, NOW))).toEqual([undefined, undefined])
  })
})

describe('a session', () => {
  let witness: Witness
  let egress: Egress
  afterEach(async () => {
    await egress.close()
    await witness.close()
  })

  test.each<['429' | '503', 'GET' | 'POST', string]>([
    ['429', 'GET', 'ERR_EHR_UNREACHABLE'], ['503', 'GET', 'ERR_EHR_UNREACHABLE'],
    ['429', 'POST', 'ERR_EHR_UNREACHABLE'], ['503', 'POST', 'ERR_WRITE_AMBIGUOUS']
  ])('that was answered %s to a %s calls again only when the time has come, whoever asks', async (mode, method, code) => {
    witness = await startWitness()
    witness.faults([{ mode, retryAfter: '1' }])
    const tenant = loopbackTenant(witness.base)
    egress = egressForTenant(tenant)
    const open = () => openFhirSession({ tenant, egress, tokens: fixedToken('t') })
    const ask = () => method === 'GET' ? open().search('Media', { patient: 'p' }) : open().create({ resourceType: 'Device' })
    await expect(ask()).rejects.toMatchObject({ code })
    const { retryAt = 0 } = open()
    expect(retryAt - Date.now()).toBeGreaterThan(500)
    await expect(ask()).rejects.toMatchObject({ code: 'ERR_EHR_UNREACHABLE', retryAt })
    expect(witness.events).toHaveLength(1)
    await new Promise((resolve) => setTimeout(resolve, retryAt - Date.now() + 5))
    await ask()
    expect(witness.events).toHaveLength(2)
    expect(witness.events[1]?.ms).toBeGreaterThanOrEqual(witness.events[0]?.notBefore ?? Infinity)
  })
})
