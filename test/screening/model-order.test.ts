import { expect, test } from '@jest/globals'
import { isOlderModel } from '../../src/screening/model-order.ts'

const model = (version: string, name = 'hand-joints') => ({ name, version, digest: version })

/** SemVer 2.0.0, 11.4, and what `finetune` names a site's bundles. */
const RISING = ['0.1.0-int8', '0.1.0', '0.1.1-alpha', '0.1.1-alpha.1', '0.1.1-site', '0.1.1-site.1', '0.1.1-site.2', '0.1.1-site.10', '0.1.1-site.b', '0.1.1', '0.9.0', '0.10.0']

test('versions of a model rise as semantic versions do, those of a site among them', () => {
  for (const [at, version] of RISING.entries())
    for (const [against, other] of RISING.entries()) expect([version, other, isOlderModel(model(version), model(other))]).toEqual([version, other, at < against])
})

test('models of different names are neither older nor newer', () => {
  expect(isOlderModel(model('0.1.0'), model('0.2.0', 'other'))).toBe(false)
})
