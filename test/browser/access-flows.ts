import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import { clean, expectEqual, focusOn, launched, tabTo, type Flow, type Site } from './steps.ts'

/** Ways into the app, and ways of using it: standalone, inside an EHR's frame, with the keyboard alone, and when something is missing. */
export const accessFlows: readonly Flow[] = [
  {
    name: 'row 29: a standalone launch lets the EHR choose the patient',
    async run({ page, site, check }) {
      await page.goto(`${site.jointlens}/smart/launch?iss=${encodeURIComponent(`${site.ehr}/fhir`)}`)
      await page.getByRole('heading', { name: 'Choose a patient' }).waitFor()
      await check('standalone-picker')
      await page.getByRole('button', { name: /Demo Five/ }).click()
      await page.waitForURL(/\/smart\/app\//)
      await page.getByRole('heading', { name: 'Demo Five (synthetic)' }).waitFor()
    }
  },
  {
    name: 'rows 39 and 40: in an EHR’s frame of 900 px the app works with partitioned cookies and holds no token',
    async run({ page, site }) {
      await warm(page, site, 'demo-1')
      await page.goto(`${site.ehr}/patients/demo-1/app`)
      const frame = page.frameLocator('iframe')
      await frame.locator('.count').waitFor({ timeout: 60_000 })
      await frame.locator('h1').click()
      // Beyond the joints that an earlier flow has signed.
      for (let joint = 0; joint < 5; joint++) await page.keyboard.press('ArrowRight')
      await page.keyboard.press('n')
      await frame.getByText('1 of 22 joints decided.').waitFor()
      await frame.getByRole('button', { name: 'Preview' }).click()
      await frame.getByText(/Exactly this will be written/).waitFor()
      const cookies = (await page.context().cookies()).filter(({ name, partitionKey }) => name.startsWith('__Host-jl-') && partitionKey?.includes('127.0.0.1'))
      expectEqual(cookies.length, 1, 'cookies of the app in the EHR’s partition')
      const [cookie] = cookies
      expectEqual(JSON.stringify([cookie?.httpOnly, cookie?.secure, cookie?.sameSite]), '[true,true,"None"]', 'what the cookie allows')
      const inside = page.frames().find((one) => one.url().includes('/smart/app/'))
      // With third-party storage blocked the browser refuses even to be asked; then nothing can be in it.
      const kept = await inside?.evaluate(() => {
        const storage = () => { try { return JSON.stringify([localStorage, sessionStorage]) } catch { return 'refused' } }
        return [storage(), document.cookie, document.documentElement.innerHTML].join(' ')
      })
      expectEqual(/eyJ[\w-]{10}|access_token|refresh_token/.test(kept ?? 'eyJ0000000000'), false, 'tokens in the page')
      const sideways = await inside?.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
      expectEqual((sideways ?? 99) <= 1, true, 'no sideways scrolling at 900 px')
    }
  },
  {
    name: 'row 40: a page of another origin cannot put the app into a frame',
    async run({ page, site }) {
      await warm(page, site, 'demo-1')
      const app = await launched(page, site, 'demo-1')
      const stranger = await startStranger(app.url())
      try {
        const refused = page.waitForEvent('requestfailed', (request) => request.url() === app.url())
        await page.goto(stranger.origin)
        expectEqual((await refused).failure()?.errorText, 'net::ERR_BLOCKED_BY_RESPONSE', 'the frame of a stranger')
      } finally {
        stranger.close()
      }
    }
  },
  {
    name: 'with the keyboard alone: joints, tenderness, globals, preview, signature, correction, end; the focus is always on what has just come',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-2')
      await app.locator('.joint-panel img.sharp').waitFor()
      for (const key of ['n', 'ArrowRight', 'n', 'ArrowRight', 't', 'x', 'x', 'n']) await app.keyboard.press(key)
      await app.getByText('3 of 22 joints decided.').waitFor()
      await tabTo(app, 'Patient global, 0–10', 'spinbutton')
      await app.keyboard.type('3')
      await tabTo(app, /I examined all 28 joints/, 'checkbox')
      await app.keyboard.press('Space')
      await tabTo(app, 'Preview', 'button')
      await app.keyboard.press('Enter')
      await focusOn(app, 'Exactly this will be written', 'after the preview')
      await app.keyboard.press('Shift+Tab')
      await focusOn(app, 'Sign and record', 'one step before the preview')
      await app.keyboard.press('Enter')
      await focusOn(app, /^P: \d+ entries are in the record/, 'after the signature')
      await tabTo(app, 'Correct what was signed', 'button')
      await app.keyboard.press('Enter')
      await focusOn(app, 'You are correcting what was signed', 'when a correction begins')
      await app.keyboard.press('Tab')
      await focusOn(app, 'Leave it as it was signed', 'inside the correction')
      await app.keyboard.press('Enter')
      await focusOn(app, 'Signed so far for these photos', 'when a correction is left')
      await tabTo(app, 'Sign out', 'button')
      await app.keyboard.press('Enter')
      await focusOn(app, 'You are signed out', 'after signing out')
    }
  },
  {
    name: 'with the keyboard alone the parts of the page are visited as they stand on it, at every width',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-5')
      await app.locator('.history').waitFor({ timeout: 60_000 })
      for (const width of [320, 768, 900, 1024, 1181, 1440, 1920]) {
        await app.setViewportSize({ width, height: 1000 })
        expectEqual((await app.evaluate(partsOutOfOrder)).join('; '), '', `parts that the keyboard visits out of order at ${width} px`)
      }
    }
  },
  {
    name: 'in a frame of 900 × 700 the joint that an arrow or "f" chooses comes onto the screen with its buttons',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-1')
      await app.setViewportSize({ width: 900, height: 700 })
      const bottom = () => app.evaluate(() => document.querySelector('#chosen-joint .acts')?.getBoundingClientRect().bottom ?? Infinity)
      for (const key of ['ArrowRight', 'f']) {
        await app.evaluate(() => scrollTo(0, 0))
        if (await bottom() <= 700) throw new Error('Expected the joint below the screen before a key is pressed')
        await app.keyboard.press(key)
        await app.waitForFunction(() => (document.querySelector('#chosen-joint .acts')?.getBoundingClientRect().bottom ?? Infinity) <= innerHeight, undefined, { timeout: 5_000 })
          .catch(async () => { throw new Error(`Expected the joint on the screen after ${key} but its buttons end at ${await bottom()} px`) })
      }
    }
  },
  {
    name: 'from the opened page to the signature with two corrections: seven keys, or six taps on a tablet',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-1')
      await clean(app)
      for (const key of ['f', 'n', 'f', 'n', 'p']) await app.keyboard.press(key)
      await focusOn(app, 'Exactly this will be written (3 entries)', 'after "p"')
      for (const key of ['Shift+Tab', 'Enter']) await app.keyboard.press(key)
      await focusOn(app, '3 entries are in the record.', 'after the signature')
      const context = await page.context().browser()?.newContext({ viewport: { width: 768, height: 1024 }, hasTouch: true, isMobile: true })
      if (!context) throw new Error('Expected a browser')
      try {
        const tablet = await launched(await context.newPage(), site, 'demo-1')
        await tablet.locator('[data-joint="right-mcp2"]').tap()
        await tablet.getByRole('button', { name: 'Not swollen', exact: true }).tap()
        await tablet.getByRole('button', { name: 'Next suggested joint' }).tap()
        await tablet.getByRole('heading', { name: 'Right MCP 3' }).waitFor()
        await tablet.getByRole('button', { name: 'Not swollen', exact: true }).tap()
        await tablet.getByRole('link', { name: 'To preview and signature' }).tap()
        await focusOn(tablet, 'Exactly this will be written (3 entries)', 'after the bar’s link')
        await tablet.getByRole('button', { name: 'Sign and record' }).tap()
        await focusOn(tablet, '3 entries are in the record.', 'after the signature on the tablet')
      } finally {
        await context.close()
      }
    }
  },
  {
    name: 'with the keyboard alone: a photo from the camera to the record, also when the answer to it is lost',
    async run({ page, site }) {
      await page.context().grantPermissions(['camera'], { origin: site.jointlens })
      await page.goto(`${site.ehr}/demo/launch?patient=demo-3&intent=capture`)
      await page.getByText('Looks fine so far.').waitFor()
      await page.route('**/capture/save?*', async (route) => {
        await route.fetch()
        await route.abort()
      }, { times: 1 })
      for (const name of ['Take the photo', 'Use this photo', /I agree/, /Save to the health record/]) {
        await page.getByRole('button', { name }).waitFor()
        await tabTo(page, name, 'button')
        await page.keyboard.press('Enter')
      }
      await page.getByText('No answer came back, so it is not known whether the photo was saved. The photo is kept on this page.').waitFor()
      await focusOn(page, 'Try again', 'after the answer was lost')
      await page.keyboard.press('Enter')
      await page.getByText('The photo of the left hand is in the record.').waitFor()
      expectEqual(await page.evaluate(() => document.activeElement?.tagName), 'H2', 'where the focus went')
    }
  },
  {
    name: 'with the keyboard alone: photos that have not been read yet are read when asked, and the focus goes from the button to what is happening and to the result',
    async run({ page, site, check }) {
      await warm(page, site, 'demo-1')
      let looks = -1
      await page.context().route('**/api/*/screen', (route) => { looks = 0; return route.fulfill({ status: 202, json: { accepted: true } }) })
      await page.context().route('**/api/*/review', (route) => (looks < 0 || looks++ < 2 ? route.fulfill({ json: { pending: looks >= 0, history: [], threshold: 0.5 } }) : route.continue()))
      const app = await page.context().newPage()
      await app.goto(`${site.ehr}/demo/launch?patient=demo-1`)
      await app.getByRole('button', { name: 'Read the photos now' }).waitFor()
      await check('review-not-read', app)
      await tabTo(app, 'Read the photos now', 'button')
      await app.keyboard.press('Enter')
      await focusOn(app, 'The hand photos are being read', 'after asking for it')
      await focusOn(app, /^SECTION: .*assessable hand joints/s, 'when the photos are read')
    }
  },
  {
    name: 'row 36: a sign-in that may only read shows findings and says what is missing',
    async run({ page, site, check }) {
      await warm(page, site, 'demo-1')
      await page.context().route('**/api/*/session', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: { ...(await answer.json() as object), canSign: false, canSavePhotos: false } })
      })
      await page.context().route('**/api/*/context?*', (route) => route.fulfill({ json: { absent: { treatments: 'not-granted', laboratory: 'not-granted' } } }))
      const app = await launched(page, site, 'demo-1')
      await app.getByText(/^Read-only:/).waitFor()
      await app.getByText(/does not open laboratory values/).waitFor()
      expectEqual(await app.getByRole('button', { name: 'Preview' }).count(), 0, 'preview buttons')
      await check('review-read-only', app)
    }
  },
  {
    name: 'row 38: where the EHR shows the patient itself, the page tells whose record it is when asked, and at the signature',
    async run({ page, site, check }) {
      await warm(page, site, 'demo-1')
      await page.context().route('**/api/*/session', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: { ...(await answer.json() as object), needPatientBanner: false } })
      })
      const app = await launched(page, site, 'demo-1')
      await app.getByRole('heading', { level: 1, name: 'Hand photo review' }).waitFor()
      expectEqual(await app.getByText('MRN demo-1').first().isVisible(), false, 'the number before anybody asks')
      await tabTo(app, 'Whose record is this?', 'summary')
      await app.keyboard.press('Enter')
      await app.locator('.whose').getByText(/Demo One \(synthetic\) · male · born .* · MRN demo-1/).waitFor()
      await app.locator('.for-whom').getByText(/^For Demo One \(synthetic\), born .*, MRN demo-1$/).waitFor()
      await check('review-no-banner', app)
    }
  },
  {
    name: 'a record that does not answer is said, and can be asked again',
    async run({ page, site, check }) {
      await warm(page, site, 'demo-1')
      let fails = true
      await page.context().route('**/api/*/review', async (route) => {
        const issue = [{ severity: 'error', code: 'exception', details: { text: 'ERR_EHR_UNREACHABLE' }, diagnostics: 'Expected an answer but the FHIR server answered 503' }]
        return fails ? route.fulfill({ status: 502, json: { resourceType: 'OperationOutcome', issue } }) : route.continue()
      })
      const app = await page.context().newPage()
      await app.goto(`${site.ehr}/demo/launch?patient=demo-1`)
      await app.getByRole('heading', { name: 'JointLens could not load this' }).waitFor()
      await check('review-failed', app)
      fails = false
      await app.getByRole('button', { name: 'Try again' }).click()
      await app.locator('.count').waitFor()
    }
  }
]

/** The patient's photos are read once before, so that a flow about something else does not wait for them. */
async function warm(page: Page, site: Site, patient: string): Promise<void> {
  await (await launched(page, site, patient)).close()
}

/** Runs in the page: which part stands above the one before it and not beside it. */
function partsOutOfOrder(): string[] {
  const parts = [...document.querySelectorAll('.photos, .review, .hands, .activity, .sign, .history, .research')].map((one) => ({ name: one.className, box: one.getBoundingClientRect() }))
  return parts.flatMap(({ name, box }, at) => {
    const before = parts[at - 1]
    return before && box.top < before.box.top - 1 && box.left < before.box.right && box.right > before.box.left ? [`${name} above ${before.name}`] : []
  })
}

/** A page of another origin on this machine that frames an address. */
async function startStranger(address: string) {
  const server = createServer((_request, response) => response.setHeader('Content-Type', 'text/html').end(`<!doctype html><title>Stranger</title><iframe src="${address}"></iframe>`))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => { server.close(); server.closeAllConnections() } }
}
