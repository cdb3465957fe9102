import type { Page } from 'playwright-core'
import type { Weather } from '../../demo/weather.ts'
import { clean, expectEqual, filledIn, launched, observationsOf, type Flow, type Site } from './steps.ts'

/**
 * The page is loaded again in the middle of a signature, at a record that is slow or fails: it tells the truth afterwards and has lost nothing. On joints
 * of demo-2 that no flow before these signs.
 */
export const reloadFlows: readonly Flow[] = [
  {
    name: 'loaded again while the record is writing: the page looks for the signature, offers none meanwhile, and shows it signed; a typed CRP that no score needs and a call made since are still there',
    async run({ page, site, check }) {
      const app = await entered(page, site, 'left-pip2')
      // The record has none of it while the page comes back: what is there already is found at the first look, too soon to be seen looking.
      await underWeather(page, site, { beforeMs: 3_000, afterMs: 1_000 }, async () => {
        await signing(app)
        await app.waitForTimeout(300)
        await app.locator('[data-joint="left-pip3"]').click()
        await app.keyboard.press('n')
        await app.waitForTimeout(700)
        await app.reload()
        await app.getByText('You signed before this page was loaded again.').waitFor()
        await app.getByText('Your signature is being looked for in the record.').waitFor()
        expectEqual(await app.getByText('What you had entered and not signed is here again.').count(), 0, 'words that call it unsigned')
        expectEqual([await app.getByRole('button', { name: 'Preview' }).isDisabled(), await app.getByRole('button', { name: 'Sign and record' }).isDisabled()].join(), 'true,true', 'what can be signed meanwhile is off')
        await check('review-looked-for', app)
        await app.getByText(/it was written: \d+ entries are in the record/).waitFor({ timeout: 30_000 })
      })
      await app.getByText('1 of 22 joints decided.').waitFor()
      await app.locator('[data-joint="left-pip2"]').click()
      await app.getByText(/^Signed: not swollen \(you, /).waitFor()
      await restIsThere(app)
      await app.reload()
      await restIsThere(app)
      expectEqual(await signedFor(page, site, 'L-PIP2'), 1, 'what the record holds of the joint')
      await clean(app)
    }
  },
  ...([[0, 'left-pip4'], [60, 'right-mcp5'], [150, 'left-mcp3'], [300, 'left-mcp4'], [600, 'left-mcp5'], [1_200, 'right-pip4']] as const).map(([ms, joint]): Flow => ({
    name: `loaded again ${ms} ms after the signature was sent: what is in the record is shown signed, what is not can be signed, and nothing is lost or written twice`,
    async run({ page, site }) {
      const app = await entered(page, site, joint)
      await underWeather(page, site, { beforeMs: 200, afterMs: 200 }, async () => {
        await signing(app)
        await app.waitForTimeout(ms)
        await app.reload()
        await settled(app)
      })
      await truth(page, site, app, joint, `${joint.startsWith('left') ? 'L' : 'R'}-${(joint.split('-')[1] ?? '').toUpperCase()}`)
    }
  })),
  ...([['lost', 'mcp3'], ['refused', 'mcp4']] as const).map(([answer, joint]): Flow => ({
    name: `loaded again while the record is slow and its answer is then ${answer}: the page finds out which, and goes on from there`,
    async run({ page, site }) {
      const app = await entered(page, site, `right-${joint}`)
      await underWeather(page, site, { beforeMs: 800, afterMs: 500, answer }, async () => {
        await signing(app)
        await app.waitForTimeout(200)
        await app.reload()
        await app.getByText('You signed before this page was loaded again.').waitFor()
        await settled(app)
      })
      await truth(page, site, app, `right-${joint}`, `R-${joint.toUpperCase()}`)
    }
  })),
  {
    name: 'loaded again while the record is not available, which has shown an earlier signature at once: nothing was written, and signing again needs no wait',
    async run({ page, site }) {
      const before = await entered(page, site, 'right-ip1')
      await signing(before)
      await before.getByText(/entries are in the record/).waitFor()
      const app = await entered(page, site, 'right-mcp1')
      await underWeather(page, site, { beforeMs: 800, answer: 'unavailable' }, async () => {
        await signing(app)
        await app.waitForTimeout(200)
        await app.reload()
        await app.getByText('You signed before this page was loaded again.').waitFor()
        await settled(app)
      })
      expectEqual(await signedFor(page, site, 'R-MCP1'), 0, 'what the record holds of the joint meanwhile')
      await truth(page, site, app, 'right-mcp1', 'R-MCP1')
    }
  },
  {
    name: 'a laboratory value of the record that comes when someone is about to type is replaced by what is typed, and does not stand before it',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-2')
      await clean(app)
      let answers: (() => void) | undefined
      const asked = new Promise<void>((resolve) => { answers = resolve })
      await app.route('**/api/*/context?*', async (route) => {
        await asked
        const laboratory = { crpMgPerL: { value: 4, shown: '4 mg/L', at: new Date().toISOString() } }
        await route.fulfill({ json: { absent: {}, treatments: [], scores: [], laboratory, signed: { joints: [], tender: [], swollen: [], numbers: [] } } })
      })
      await app.reload()
      const field = app.getByLabel('CRP, mg/L')
      await field.focus()
      answers?.()
      await filledIn(field, '4', 'CRP of the record')
      await app.keyboard.type('12')
      expectEqual(await field.inputValue(), '12', 'CRP as typed')
      await clean(app)
    }
  },
  {
    name: 'a value that was typed a moment before the page is loaded again is still there, also when the page asks for it before it has arrived',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-2')
      await clean(app)
      await app.getByLabel('CRP, mg/L').fill('12')
      await app.reload()
      await filledIn(app.getByLabel('CRP, mg/L'), '12', 'CRP as typed')
      // The page that is loaded again asks for the draft before what the one before it sent has arrived.
      await app.route('**/api/*/review', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: { ...await answer.json() as object, draft: undefined } })
      }, { times: 1 })
      await app.getByLabel('ESR, mm/h').fill('34')
      await app.reload()
      await filledIn(app.getByLabel('ESR, mm/h'), '34', 'ESR as typed')
      expectEqual(await app.getByLabel('CRP, mg/L').inputValue(), '12', 'CRP as typed')
      await clean(app)
    }
  }
]

/** A call on one joint and a CRP that no score is made with, previewed; nothing is signed of the joint yet. */
async function entered(page: Page, site: Site, joint: string): Promise<Page> {
  const app = await launched(page, site, 'demo-2')
  await clean(app)
  await app.getByLabel('CRP, mg/L').fill('12')
  await app.locator(`[data-joint="${joint}"]`).click()
  await app.keyboard.press('n')
  await app.getByRole('button', { name: 'Preview' }).click()
  await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
  return app
}

async function signing(app: Page): Promise<void> {
  const sent = app.waitForRequest((request) => request.url().endsWith('/sign'))
  await app.getByRole('button', { name: 'Sign and record' }).click()
  await sent
}

/** The page knows what became of it: written, or to be signed. */
async function settled(app: Page): Promise<void> {
  await app.getByText(/^Patient:|Demo Two/).first().waitFor()
  // What arrives late is there by then.
  await app.waitForTimeout(3_000)
  await app.getByText('Your signature is being looked for in the record.').or(app.getByText('You signed before this page was loaded again.')).first().waitFor({ state: 'detached', timeout: 60_000 })
}

/** What the page says of the joint is what the record holds of it; what is not signed can be signed, and then is there once. */
async function truth(page: Page, site: Site, app: Page, joint: string, code: string): Promise<void> {
  await app.locator(`[data-joint="${joint}"]`).click()
  const held = await signedFor(page, site, code)
  if (held === 0) {
    await app.getByText('1 of 22 joints decided.').waitFor()
    await app.getByRole('button', { name: 'Preview' }).click()
    await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
    await app.getByRole('button', { name: 'Sign and record' }).click()
    await app.getByText(/entries are in the record/).waitFor()
  }
  await app.getByText('Nothing to sign yet.').waitFor()
  await app.getByText(/^Signed: not swollen \(you, /).waitFor()
  await filledIn(app.getByLabel('CRP, mg/L'), '12', 'CRP as typed')
  expectEqual(await signedFor(page, site, code), 1, 'what the record holds of the joint')
  const before = await observationsOf(page, site, 'demo-2')
  await app.reload()
  await app.getByText('Nothing to sign yet.').waitFor()
  await filledIn(app.getByLabel('CRP, mg/L'), '12', 'CRP as typed, after another reload')
  expectEqual(await observationsOf(page, site, 'demo-2'), before, 'Observations after another reload')
  await clean(app)
}

async function restIsThere(app: Page): Promise<void> {
  await app.getByText('1 of 22 joints decided.').waitFor()
  expectEqual(await app.locator('[data-joint="left-pip3"]').evaluate((one) => one.classList.contains('called')), true, 'the call that was made since')
  await filledIn(app.getByLabel('CRP, mg/L'), '12', 'CRP as typed')
}

/** How many times a clinician's call on this joint stands in the record. */
async function signedFor(page: Page, site: Site, code: string): Promise<number> {
  const { observations } = (await (await page.request.get(`${site.ehr}/demo/patients/demo-2`)).json()) as { observations: { performer?: object; code: { text?: string }; method?: object; bodySite?: { coding: { code: string }[] } }[] }
  return observations.filter(({ performer, method, bodySite }) => performer !== undefined && method !== undefined && bodySite?.coding.some((one) => one.code === code)).length
}

async function underWeather(page: Page, site: Site, weather: Partial<Weather>, work: () => Promise<void>): Promise<void> {
  const change = async (next: Partial<Weather>) => expectEqual((await page.request.post(`${site.ehr}/demo/weather`, { data: next, headers: { origin: site.ehr } })).status(), 204, 'the weather of the record')
  await change(weather)
  try {
    await work()
  } finally {
    await change({})
  }
}
