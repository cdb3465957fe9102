import type { WorklistRow } from '../../src/screening/previsit.ts'
import { worklistPage } from '../../src/worklist-page.ts'
import { loopbackTenant } from '../support/screening-sample.ts'
import { accessFlows } from './access-flows.ts'
import { FEEDBACK_SECRET } from './demo-site.ts'
import { reloadFlows } from './reload-flows.ts'
import { sittingFlows } from './sitting-flows.ts'
import { viewerFlows } from './viewer-flows.ts'
import { workFlows } from './work-flows.ts'
import { card, choosePhoto, expectEqual, filledIn, launched, observationsOf, openChart, opened, type Flow } from './steps.ts'

/** What people do, from the chart of the EHR into the app and back, in the order of a visit. */
export const flows: readonly Flow[] = [
  {
    name: 'the list of patients leads to a chart',
    async run({ page, site, check }) {
      await page.goto(site.ehr)
      await page.getByRole('link', { name: /demo-1|Demo/ }).first().waitFor()
      await check('patients')
    }
  },
  {
    name: 'a chart shows a card that is pending first and becomes the result; recording it writes once',
    async run({ page, site, check, picture }) {
      await openChart(page, site, 'demo-1')
      await card(page, /assessable hand joints swollen/)
      await check('chart')
      await picture('chart-card.png')
      const record = page.getByRole('button', { name: /^Record the AI suggestion/ })
      await record.click()
      await page.getByText(/Written to the record/).waitFor()
      expectEqual(await observationsOf(page, site, 'demo-1'), 23, 'Observations after the first acceptance')
      await page.getByRole('button', { name: 'Ask again' }).click()
      const again = await card(page, /assessable hand joints swollen/)
      await again.getByText(/The suggestion was accepted on/).waitFor()
      expectEqual(await again.getByRole('button', { name: /^Record the AI suggestion/ }).count(), 0, 'offers to record it again')
      expectEqual(await observationsOf(page, site, 'demo-1'), 23, 'Observations after asking again')
    }
  },
  {
    name: 'hands without findings are shown without an all-clear, and the card can be set aside with a reason',
    async run({ page, site }) {
      await openChart(page, site, 'demo-2')
      const article = await card(page, /assessable hand joints swollen/)
      await article.getByText('Set this card aside').click()
      await article.getByLabel('Reason').selectOption('other-cause')
      await article.getByRole('button', { name: 'Set aside' }).click()
      await article.getByText(/Set aside. JointLens was told why/).waitFor()
    }
  },
  {
    name: 'a photo that cannot be assessed says why and suggests nothing',
    async run({ page, site, check }) {
      await openChart(page, site, 'demo-3')
      const article = await card(page, /cannot be assessed/)
      expectEqual(await article.getByRole('button', { name: /^Record/ }).count(), 0, 'record buttons')
      await check('chart-unassessable')
    }
  },
  {
    name: 'a patient without photos gets no card',
    async run({ page, site }) {
      await openChart(page, site, 'demo-4')
      await page.getByText('JointLens has nothing to say about this patient now.').waitFor()
    }
  },
  {
    name: 'row 28: from the card into the app: joint by joint with the keyboard, preview, sign',
    async run({ page, site, check, picture }) {
      await openChart(page, site, 'demo-1')
      const article = await card(page, /assessable hand joints swollen/)
      const app = await opened(page, () => article.getByRole('link', { name: /Review photos/ }).click())
      await app.getByText(/assessable hand joints suggested as swollen/).waitFor()
      await app.locator('.joint-panel img.sharp').waitFor()
      await app.keyboard.press('s')
      await app.keyboard.press('ArrowRight')
      await app.keyboard.press('n')
      await app.keyboard.press('ArrowRight')
      await app.keyboard.press('t')
      await app.getByText('2 of 22 joints decided.').waitFor()
      await app.setViewportSize({ width: 1440, height: 1000 })
      await app.waitForFunction(() => [...document.images].every((image) => image.complete && image.naturalWidth > 0))
      await picture('review-page.png', app)
      await check('review', app)
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByText('Your signature: Dr Demo Rheumatologist (synthetic) (Practitioner/demo-clinician)').waitFor()
      await app.getByText(/Exactly this will be written \(4 entries\)/).waitFor()
      await app.getByRole('button', { name: 'Sign and record' }).click()
      await app.getByText(/4 entries are in the record/).waitFor()
    }
  },
  {
    name: 'where the model’s answer rests lies over the close-up when asked for, and is told in words',
    async run({ page, site, check, picture }) {
      const app = await launched(page, site, 'demo-1')
      await app.locator('.joint-panel img.sharp').waitFor()
      await app.keyboard.press('a')
      await app.getByText(/The model’s answer rests/).waitFor({ timeout: 60_000 })
      if (await app.locator('.map .cell').count() < 1) throw new Error('Expected cells over the close-up')
      await app.getByText(/The map shows what the model used, not whether it is right/).waitFor()
      await check('review-map', app)
      await picture('close-up-map.jpg', app, '.joint-panel')
      await app.keyboard.press('a')
      await app.locator('.map').waitFor({ state: 'detached' })
    }
  },
  {
    name: 'activity scores appear when their inputs are complete, and name what is missing',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-2')
      await app.getByLabel(/I examined all 28 joints/).check()
      await app.getByRole('row', { name: /Right knee/ }).getByLabel('tender').check()
      await app.getByText('Marked so far: 0 swollen, 1 tender.').waitFor()
      await app.getByLabel('Patient global, 0–10').fill('3')
      await app.getByText(/needs: physician global/).first().waitFor()
      await app.getByLabel('Physician global, 0–10').fill('2')
      await app.locator('.scores li', { hasText: 'CDAI' }).getByText(/6 · low/).waitFor()
      await app.getByLabel('Patient global, 0–10').fill('33')
      await app.getByText('Outside the possible range').waitFor()
      await app.getByLabel('Patient global, 0–10').fill('3')
      await filledIn(app.getByLabel('CRP, mg/L'), '4', 'CRP from the record')
      await app.locator('.scores li', { hasText: 'SDAI' }).getByText(/6.4 · low/).waitFor()
      await app.getByLabel('CRP, mg/L').fill('60')
      await app.locator('.scores li', { hasText: 'SDAI' }).getByText(/12 · moderate/).waitFor()
      await app.getByRole('button', { name: 'Use it' }).click()
      await filledIn(app.getByLabel('CRP, mg/L'), '4', 'CRP taken back from the record')
    }
  },
  {
    name: 'two visits are shown over time, with treatments on the same axis and the same joint then and now',
    async run({ page, site, check, picture }) {
      const app = await launched(page, site, 'demo-5')
      await app.getByRole('heading', { name: 'Over time' }).waitFor({ timeout: 60_000 })
      await app.locator('.history tbody tr').nth(1).waitFor({ timeout: 60_000 })
      expectEqual(await app.locator('.history tbody tr').count(), 2, 'visits')
      await app.getByText(/methotrexate on .*adalimumab on/).waitFor()
      expectEqual(await app.locator('.trend .treatment').count(), 2, 'treatments on the axis')
      await app.getByRole('img', { name: /^Close-up of Left PIP 3, \d/ }).waitFor()
      expectEqual(await app.locator('.close-ups figure').count(), 2, 'close-ups of the same joint, now and then')
      await filledIn(app.getByLabel('CRP, mg/L'), '9', 'CRP of 0.9 mg/dL in mg/L')
      await check('review-trend', app)
      await picture('review-trend.png', app, '.history')
    }
  },
  {
    name: 'photos are taken with the camera and from a file, checked, saved once each, and read: nothing is sent before the person agrees',
    async run({ page, site, check, picture }) {
      await page.context().grantPermissions(['camera'], { origin: site.jointlens })
      const app = await page.context().newPage()
      const sent: string[] = []
      app.on('request', (request) => { if (request.method() === 'POST') sent.push(new URL(request.url()).pathname.split('/').slice(-2).join('/')) })
      await app.goto(`${site.ehr}/demo/launch?patient=demo-4&intent=capture`)
      await app.waitForURL(/\/smart\/capture\//)
      await app.getByText('Looks fine so far.').waitFor()
      await check('capture-aim', app)
      await app.setViewportSize({ width: 390, height: 844 })
      await picture('capture-aim.jpg', app)
      for (const [width, height] of [[390, 700], [360, 640]] as const) {
        await app.setViewportSize({ width, height })
        const button = await app.getByRole('button', { name: 'Take the photo' }).boundingBox()
        expectEqual((button?.y ?? height) + (button?.height ?? 0) <= height, true, `the button on a phone's screen of ${width} × ${height}, without scrolling`)
      }
      await app.setViewportSize({ width: 1440, height: 1000 })
      await app.getByRole('button', { name: 'Take the photo' }).click()
      await app.getByText('The photo is still on this device only.').waitFor()
      await check('capture-look', app)
      await app.getByRole('button', { name: 'Use this photo' }).click()
      await app.getByRole('button', { name: /No, delete the photo/ }).click()
      await app.getByText('Nothing was sent.').waitFor()
      await app.getByRole('button', { name: 'Take the photo' }).click()
      await app.getByRole('button', { name: 'Use this photo' }).click()
      await app.getByRole('heading', { name: 'Before the photo leaves this device' }).waitFor()
      await check('capture-consent', app)
      await app.setViewportSize({ width: 390, height: 844 })
      const refuse = await app.getByRole('button', { name: /No, delete the photo/ }).boundingBox()
      expectEqual((refuse?.y ?? 844) + (refuse?.height ?? 0) <= 844, true, 'what is agreed to and both answers on one screen of a phone')
      expectEqual(sent.length, 0, 'requests before the person agreed')
      await app.getByRole('button', { name: /I agree/ }).click()
      await app.getByText('Good: 11 of 11 joints can be read.').waitFor()
      await check('capture-verdict', app)
      await app.context().setOffline(true)
      await app.getByRole('button', { name: 'Save to the health record' }).click()
      await app.getByText(/Trying again saves it once/).waitFor()
      await app.context().setOffline(false)
      await app.getByRole('button', { name: 'Try again' }).click()
      await app.getByText('The photo of the left hand is in the record.').waitFor()
      await app.reload()
      await app.getByRole('heading', { name: 'Photo 2 of 2: Right hand' }).waitFor()
      await choosePhoto(app, 'demo-1-left.jpg')
      await app.getByRole('button', { name: /I agree/ }).click()
      await app.getByText(/This looks like the other hand/).waitFor()
      await check('capture-wrong-side', app)
      await app.getByRole('button', { name: 'Take it again' }).click()
      await choosePhoto(app, 'demo-1-right.jpg')
      await app.getByRole('button', { name: 'Save to the health record' }).click()
      await app.getByText('Both photos are in the health record.').waitFor()
      await check('capture-done', app)
      expectEqual(sent.filter((path) => path === 'capture/save').length >= 3, true, 'one failed and two good ones')
      const { photos } = (await (await page.request.get(`${site.ehr}/demo/patients/demo-4`)).json()) as { photos: { bodySite: { text: string } }[] }
      expectEqual(photos.map(({ bodySite }) => bodySite.text).sort().join(), 'Back of the left hand,Back of the right hand', 'photos in the record')
      await app.getByRole('link', { name: 'Review the joints' }).click()
      await app.locator('.count').waitFor({ timeout: 90_000 })
    }
  },
  {
    name: 'without a camera the capture page takes a file, and says so',
    async run({ page, site, check }) {
      await page.addInitScript(() => { Object.defineProperty(navigator, 'mediaDevices', { value: undefined }) })
      await page.goto(`${site.ehr}/demo/launch?patient=demo-3&intent=capture`)
      await page.getByText('The camera cannot be used here.').waitFor()
      await check('capture-no-camera')
      expectEqual(await page.getByRole('button', { name: 'Take the photo' }).count(), 0, 'camera buttons')
      expectEqual(await page.locator('label.button').innerText(), 'Choose a photo', 'the only button, which is instead of nothing')
    }
  },
  {
    name: 'row 41: two launches for two patients in one browser never mix',
    async run({ page, site }) {
      const one = await launched(page, site, 'demo-1')
      const two = await launched(page, site, 'demo-2')
      await one.reload()
      await one.locator('.count').waitFor()
      const names = [await one.locator('h1').innerText(), await two.locator('h1').innerText()]
      if (names[0] === names[1] && names[0] !== 'Hand photo review') throw new Error(`Expected two patients but both pages show ${names[0]}`)
      const addresses = [one.url(), two.url()]
      if (addresses[0] === addresses[1]) throw new Error('Expected a handle of its own for each launch')
    }
  },
  {
    name: 'an address of a session that is not this browser’s opens nothing',
    async run({ page, site, check }) {
      const response = await page.goto(`${site.jointlens}/smart/app/${'A'.repeat(43)}`)
      expectEqual(response?.status(), 401, 'status')
      await page.getByText('Open JointLens again from the patient record').waitFor()
      await check('session-ended')
    }
  },
  {
    name: 'row 30: a launch from an unknown EHR is refused before any request',
    async run({ page, site }) {
      const response = await page.goto(`${site.jointlens}/smart/launch?iss=https://evil.example/fhir&launch=x`)
      expectEqual(response?.status(), 400, 'status')
      await page.getByRole('heading', { name: 'JointLens cannot open' }).waitFor()
    }
  },
  {
    name: 'what clinicians did with the cards is shown as rates',
    async run({ page, site, check }) {
      const address = `${site.jointlens}/feedback/demo`
      expectEqual((await page.request.get(address)).status(), 401, 'status without the secret')
      await page.context().setExtraHTTPHeaders({ authorization: `Basic ${Buffer.from(`somebody:${FEEDBACK_SECRET}`).toString('base64')}` })
      await page.goto(address)
      await page.getByRole('cell', { name: 'hand-joints' }).first().waitFor()
      await page.getByText('Swelling has another cause (for example osteoarthritis): 1').waitFor()
      await page.getByRole('cell', { name: 'left MCP 2', exact: true }).waitFor()
      await check('feedback')
    }
  },
  {
    name: 'the tables of the morning’s list stand in line, at every width',
    async run({ page, check }) {
      const at = { appointment: '2026-11-28T08:30:00Z', photoTime: '2026-11-26' }
      const rows: readonly WorklistRow[] = [
        { ...at, status: 'needs-photo', reason: 'blurred', patientId: 'p1', name: 'Maximiliane Musterfrau-Beispiel' }, { ...at, status: 'no-photo', reason: 'no-photos', patientId: 'p2' },
        { ...at, status: 'results', patientId: 'p3', name: 'Demo', count: { swollen: 7, assessable: 20, of: 22, low: 6, high: 10 } }
      ]
      await page.setContent(worklistPage({ tenant: loopbackTenant('http://127.0.0.1:1/fhir'), date: '2026-11-28', madeAt: '2026-11-27T20:00:00Z', rows, withoutPatient: 0 }).html)
      const columns = await page.locator('table').evaluateAll((tables) => tables.map((table) => [...table.querySelectorAll('thead th')].map((cell) => Math.round(cell.getBoundingClientRect().left)).join()))
      expectEqual(columns.length, 3, 'tables')
      expectEqual(new Set(columns).size, 1, `lines in which the columns begin (${columns.join(' / ')})`)
      await check('worklist')
    }
  },
  {
    name: 'the model card can be read by a person',
    async run({ page, site, check }) {
      await page.goto(`${site.jointlens}/models/current`)
      await page.getByText(/never seen a patient/i).first().waitFor()
      await check('model-card')
    }
  },
  ...accessFlows,
  ...workFlows,
  ...reloadFlows,
  ...viewerFlows,
  ...sittingFlows
]
