import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { expect, test } from '@jest/globals'
import { exportJWK, generateKeyPair } from 'jose'
import { examine } from '../../src/cli/doctor.ts'
import { makeConfig, makeTenant, readConfig, type SigningKey } from '../../src/config.ts'

const path = join(mkdtempSync(join(tmpdir(), 'jointlens-')), 'site.yaml')
const base = "tenants:\n  - id: clinic\n    name: Clinic\n    fhirBase: https://ehr.example/fhir\n"

test.each([
  ['a tab', `${base}\tlanguage: de # d: PRIVATE-KEY\n`, /line 5 \(TAB_AS_INDENT\)/], ['a member twice', `${base}    name: PRIVATE-KEY\n`, /line 5 \(DUPLICATE_KEY\)/],
  ['a quote that is not closed', `${base}    language: "PRIVATE-KEY\n`, /line \d+/], ['an alias of nothing', `${base}    language: *PRIVATE-KEY\n`, /aliases that lead nowhere/],
  ['a client without keys', `${base}    cdsClients: [{ issuer: https://ehr.example }]\n`, /cdsClients\.0: Expected jku or keys/],
  ['keys over http', `${base}    cdsClients: [{ issuer: https://ehr.example, jku: "http://ehr.example/jwks" }]\n`, /Expected https for jku of tenants\.clinic/],
  ['something that is no setting', `${base}    langauge: de\n`, /langauge/]
])('settings with %s are an error that says where, and shows no key', (_name, yaml, message) => {
  writeFileSync(path, yaml)
  const read = () => readConfig({ JOINTLENS_CONFIG: path })
  expect(read).toThrow(expect.objectContaining({ code: 'ERR_CONFIG', message: expect.stringMatching(message) as unknown }))
  expect(read).toThrow(expect.objectContaining({ message: expect.not.stringContaining('PRIVATE-KEY') as unknown }))
})

test('the model that comes with JointLens is found from any folder', () => {
  const { modelDir } = readConfig({})
  expect([isAbsolute(modelDir), existsSync(join(modelDir, 'manifest.json'))]).toEqual([true, true])
})

test('the doctor reads the keys: those of each client, as calls are refused without a reason, and our own', async () => {
  const pair = await generateKeyPair('ES384', { extractable: true })
  const [shown, own] = [{ ...(await exportJWK(pair.publicKey)), kid: 'ours' }, { ...(await exportJWK(pair.privateKey)), kid: 'app', alg: 'ES384' } as SigningKey]
  const server = createServer(({ url }, response) => {
    if (url === '/jwks') return void response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [shown] }))
    response.writeHead(404).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const weak = (kind: 'ec' | 'rsa', how: object) => ({ ...generateKeyPairSync(kind as 'rsa', how as { modulusLength: number }).publicKey.export({ format: 'jwk' }), kid: kind })
  const client = (issuer: string, settings: object) => ({ issuer: `https://${issuer}.example`, ...settings })
  const tenant = makeTenant({
    id: 'clinic', name: 'Clinic', fhirBase: `${origin}/fhir`, allowHttp: true, allowPrivateNetwork: true,
    cdsClients: [
      client('good', { jku: `${origin}/jwks` }), client('gone', { jku: `${origin}/nothing` }), client('other', { jku: `${origin}/jwks`, algorithms: ['RS384'] }),
      client('curve', { keys: [weak('ec', { namedCurve: 'P-256' })] }), client('short', { keys: [weak('rsa', { modulusLength: 1024 })] }),
      client('broken', { keys: [{ kty: 'EC', kid: 'k', crv: 'P-384', x: 'REPLACE', y: 'REPLACE' }] })
    ],
    smart: { clientId: 'app', scope: 'launch', key: own }, backend: { clientId: 'b', scope: 's', key: { ...own, x: 'REPLACE', d: 'REPLACE' } }
  })
  const checks = await examine(makeConfig({
    host: 'h', port: 0, publicUrl: 'http://h', dataDir: 'd', modelDir: 'nowhere', device: 'cpu', profile: 'development', logLevel: 'silent', tenants: [tenant]
  }))
  server.closeAllConnections()
  server.close()
  const found = new Map(checks.map(({ check, ok, detail }) => [check.replace('clinic ', ''), `${ok} ${detail}`]))
  expect(found.get('CDS client https://good.example')).toBe('true 1 keys that can be used: ours')
  expect(found.get('CDS client https://gone.example')).toMatch(/^false ERR_/)
  for (const issuer of ['other', 'curve', 'short', 'broken']) expect(found.get(`CDS client https://${issuer}.example`)).toMatch(/^false ERR_CONFIG: Expected a public key for .*: every call is refused$/)
  expect(found.get('app key')).toBe('true app for ES384')
  expect(found.get('backend key')).toMatch(/^false ERR_CONFIG: Expected a private key/)
})
