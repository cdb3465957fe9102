import type { Page } from 'playwright-core'
import { clean, expectEqual, focusOn, launched, type Flow, type Site } from './steps.ts'

/** An examination that is signed in more than one sitting, numbers that stand or are impossible, and photos that come while someone works. */
export const sittingFlows: readonly Flow[] = [
  {
    name: 'an examination signed in two sittings: what was signed first is drawn, counted and written into the 28-joint counts; a changed global leads to the correction',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-1')
      await clean(app)
      const before = await marked(app)
      for (const [joint, key] of [['right-pip4', 's'], ['right-pip3', 't'], ['right-pip2', 't']] as const) {
        await app.locator(`[data-joint="${joint}"]`).click()
        await app.keyboard.press(key)
      }
      const knee = app.getByRole('row', { name: /Left knee/ })
      for (const name of ['swollen', 'tender']) await knee.getByLabel(name).check()
      await previewAndSign(app)
      await app.reload()
      const [swollen, tender] = [before.swollen + 2, before.tender + 3]
      await app.getByText(`Marked so far: ${swollen} swollen, ${tender} tender.`).waitFor()
      expectEqual([await knee.getByLabel('swollen').isChecked(), await knee.getByLabel('swollen').isDisabled()].join(), 'true,true', 'the knee that stands signed')
      expectEqual(await app.locator('[data-joint="right-pip3"] .tender').count(), 1, 'T at the tender joint')
      await app.locator('[data-joint="right-pip3"]').click()
      await app.getByText(/^Signed: tender \(you, /).waitFor()
      await app.getByLabel(/I examined all 28 joints/).check()
      await app.getByLabel('Patient global, 0–10').fill('5')
      await app.getByLabel('Physician global, 0–10').fill('4')
      await app.locator('.scores li', { hasText: 'CDAI' }).getByText(`${swollen + tender + 9} ·`).waitFor()
      await check('review-second-sitting', app)
      await previewAndSign(app)
      expectEqual([await valuesOf(page, site, '88980-8'), await valuesOf(page, site, '88981-6'), await valuesOf(page, site, '75847-4')].join(), [swollen, tender, swollen + tender + 9].join(), 'SJC28, TJC28 and CDAI in the record')
      await app.reload()
      await app.getByText(/^Signed: 5 \(you, /).waitFor()
      await app.getByText(/^Swollen joints \(28\)\. Signed: /).waitFor()
      await app.getByLabel('Patient global, 0–10').fill('6')
      await app.getByText('Patient global, 0–10: signed 5 (you); now: 6').waitFor()
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByText(/as listed above. Nothing was written/).waitFor()
      await check('review-number-conflict', app)
      await inGerman(app, async () => {
        await app.getByText(/^Unterschrieben: 5 \(/).waitFor()
        await app.getByText(/Patientenurteil, 0–10: unterschrieben 5 .*; jetzt: 6/).waitFor()
        await check('review-number-conflict-german', app)
      })
      await app.locator('.conflict').getByRole('button', { name: 'Correct what was signed' }).click()
      await app.getByText('You are correcting what was signed').waitFor()
      await app.getByText('1 change to what was signed.').first().waitFor()
      await previewAndSign(app)
      expectEqual([await valuesOf(page, site, '75894-6'), await valuesOf(page, site, '75847-4')].join(), [6, swollen + tender + 10].join(), 'patient global and CDAI after the correction')
    }
  },
  {
    name: 'while what was signed cannot be read there is no 28-joint count, and the page says why',
    async run({ page, site, check }) {
      let answers: (() => void) | undefined
      const asked = new Promise<void>((resolve) => { answers = resolve })
      await page.context().route('**/api/*/context?*', async (route) => {
        await asked
        const answer = await route.fetch()
        const { signed: _signed, ...rest } = await answer.json() as { signed?: object; absent: object }
        await route.fulfill({ response: answer, json: { ...rest, absent: { ...rest.absent, signed: 'failed' } } })
      })
      const app = await launched(page, site, 'demo-5')
      await app.getByLabel(/I examined all 28 joints/).check()
      for (const name of ['Patient global, 0–10', 'Physician global, 0–10']) await app.getByLabel(name).fill('3')
      await app.getByText('What was signed before is being read. Until then there is no 28-joint count.').waitFor()
      await app.locator('.scores li', { hasText: 'CDAI' }).getByText('needs: both 28-joint counts', { exact: true }).waitFor()
      answers?.()
      await app.getByText(/What was signed before could not be read from the record/).waitFor()
      await app.locator('.scores li', { hasText: 'CDAI' }).getByText('needs: both 28-joint counts', { exact: true }).waitFor()
      await check('review-uncountable', app)
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
      expectEqual(await app.locator('.preview').getByText(/joint #|28 joints/i).count(), 0, '28-joint counts in the preview')
      await clean(app)
    }
  },
  {
    name: 'a value outside its range: the record’s is shown as unusable, a typed one is marked with its range and holds up the preview, and scores without it stay',
    async run({ page, site, check }) {
      const at = new Date().toISOString()
      await page.context().route('**/api/*/context?*', async (route) => {
        const answer = await route.fetch()
        const laboratory = { crpMgPerL: { value: 4, shown: '4 mg/L', at }, esrMmPerH: { value: 0, shown: '0 mm/h', at } }
        await route.fulfill({ response: answer, json: { ...await answer.json() as object, signed: { joints: [], tender: [], swollen: [], numbers: [] }, laboratory } })
      })
      const app = await launched(page, site, 'demo-5')
      await clean(app)
      await app.getByText(/0 mm\/h, .* Outside the possible range \(1 to 200\), so it is not used; type it\./).waitFor()
      expectEqual(await app.getByLabel('ESR, mm/h').inputValue(), '', 'ESR from the record')
      await app.getByLabel(/I examined all 28 joints/).check()
      const [patient, physician] = [app.getByLabel('Patient global, 0–10'), app.getByLabel('Physician global, 0–10')]
      await patient.fill('3')
      await physician.fill('20')
      await app.getByText('Outside the possible range: 0 to 10.').waitFor()
      expectEqual([await physician.getAttribute('aria-invalid'), await patient.getAttribute('aria-invalid')].join(), 'true,false', 'the field that is marked')
      await app.locator('.scores li', { hasText: 'DAS28-CRP' }).getByText(/ · /).first().waitFor()
      await app.locator('.scores li', { hasText: 'CDAI' }).getByText('needs: physician global', { exact: true }).waitFor()
      await app.getByText('A value is outside its possible range.').waitFor()
      expectEqual(await app.getByRole('button', { name: 'Preview' }).isDisabled(), true, 'the preview is off')
      await check('review-out-of-range', app)
      await inGerman(app, async () => {
        await app.getByText('Außerhalb des möglichen Bereichs: 0 bis 10.').waitFor()
        await check('review-out-of-range-german', app)
      })
      await app.getByLabel('Physician global, 0–10').fill('2')
      await app.locator('.scores li', { hasText: 'CDAI' }).getByText('5 · low').waitFor()
      expectEqual(await app.getByRole('button', { name: 'Preview' }).isDisabled(), false, 'the preview is on')
      await clean(app)
    }
  },
  {
    name: 'newer photos that are read while someone works wait until they are asked for; what does not depend on them is carried over, after a reload too',
    async run({ page, site, check }) {
      let isRead = false
      await page.context().route('**/api/*/review', async (route) => {
        const answer = await route.fetch()
        const real = await answer.json() as { latest: { id: string }; history: { id: string }[] }
        const history = [...real.history, { ...real.history[0], id: 'earlier' }]
        await route.fulfill({ response: answer, json: isRead ? { ...real, history } : { ...real, history, latest: { ...real.latest, id: 'earlier' }, draft: undefined, earlierDraft: undefined, pending: true } })
      })
      const app = await launched(page, site, 'demo-5')
      await app.locator('[data-joint="right-wrist"]').click()
      await app.keyboard.press('t')
      await app.locator('[data-joint="right-mcp4"]').click()
      await app.keyboard.press('s')
      await app.getByLabel('Patient global, 0–10').fill('3')
      await app.getByLabel(/I examined all 28 joints/).check()
      await app.getByText('Kept as a draft for eight hours.').first().waitFor()
      isRead = true
      await app.getByText('Newer photos have been read.').waitFor()
      await app.getByText('1 of 22 joints decided.').waitFor()
      await check('review-newer', app)
      const again = await launched(page, site, 'demo-5')
      await carried(again)
      await app.getByRole('button', { name: 'Show the newer photos' }).click()
      await carried(app)
      await focusOn(app, /^SECTION: /, 'when the newer photos are shown')
      await app.getByText('Your calls on earlier photos that are not signed (1)').click()
      await app.getByRole('listitem').filter({ hasText: 'Right MCP 4: swollen' }).waitFor()
      await check('review-carried', app)
      await again.reload()
      await again.getByText('What you had entered and not signed is here again.').waitFor()
      await again.getByText('Your calls on earlier photos that are not signed (1)').waitFor()
      await app.getByRole('button', { name: 'Take them over' }).click()
      await focusOn(app, '1 call taken over from earlier photos.', 'when the calls are taken over')
      await app.getByText('1 of 22 joints decided.').waitFor()
      expectEqual(await app.getByText('Your calls on earlier photos').count(), 0, 'offers of calls that are taken over')
      await clean(app)
    }
  }
]

/** The tender wrist and the global are there, the call on the joint is not, and the page says so. */
async function carried(app: Page): Promise<void> {
  await app.getByText(/were carried over\. Not carried over: your calls on 1 hand joint of the earlier photos, and that all 28 joints were examined\./).waitFor()
  expectEqual(await app.getByLabel('Patient global, 0–10').inputValue(), '3', 'the patient’s global')
  expectEqual(await app.locator('[data-joint="right-wrist"] .tender').count(), 1, 'T at the tender wrist')
  expectEqual(await app.getByLabel(/I examined all 28 joints/).isChecked(), false, 'whether all joints were examined')
  await app.getByText('0 of 22 joints decided.').waitFor()
  await app.getByText('Kept as a draft for eight hours.').first().waitFor()
}

async function marked(app: Page): Promise<{ readonly swollen: number; readonly tender: number }> {
  const words = app.getByText(/^Marked so far: /)
  await words.waitFor()
  const [swollen = 0, tender = 0] = (await words.innerText()).match(/\d+/g)?.map(Number) ?? []
  return { swollen, tender }
}

async function previewAndSign(app: Page): Promise<void> {
  await app.getByRole('button', { name: 'Preview' }).click()
  await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
  await app.getByRole('button', { name: 'Sign and record' }).click()
  await app.getByText(/entries are in the record/).waitFor()
}

/** What stands in the record of the first patient under a code. */
async function valuesOf(page: Page, site: Site, code: string): Promise<string> {
  const { observations } = (await (await page.request.get(`${site.ehr}/demo/patients/demo-1`)).json()) as { observations: { code: { coding?: { code: string }[] }; valueQuantity?: { value: number } }[] }
  return observations.filter((one) => one.code.coding?.some((coding) => coding.code === code)).map(({ valueQuantity }) => valueQuantity?.value).join(' ')
}

/** The page in German as it stands, its draft kept; then in English again. */
async function inGerman(app: Page, look: () => Promise<void>): Promise<void> {
  await app.getByText('Kept as a draft for eight hours.').first().waitFor()
  await app.route('**/api/*/session', async (route) => {
    const answer = await route.fetch()
    await route.fulfill({ response: answer, json: { ...(await answer.json() as object), language: 'de' } })
  })
  await app.reload()
  await look()
  await app.unroute('**/api/*/session')
  await app.reload()
  await app.getByText('What you had entered and not signed is here again.').waitFor()
}
