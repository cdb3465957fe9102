import type { Page } from 'playwright-core'
import { clean, expectEqual, focusOn, launched, observationsOf, type Flow, type Site } from './steps.ts'

/** What a clinician has entered stays theirs: through a reload, a dropped connection, an ended session, a colleague who was faster. */
export const workFlows: readonly Flow[] = [
  {
    name: 'what was entered is there again after a reload and on another screen, and nothing of it lies in the browser',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-5')
      for (const key of ['s', 'ArrowRight', 't', 'n']) await app.keyboard.press(key)
      await app.getByLabel('Physician global, 0–10').fill('4')
      await app.getByRole('row', { name: /Left elbow/ }).getByLabel('swollen').check()
      await app.getByText('Kept as a draft for eight hours.').first().waitFor()
      await app.reload()
      await app.getByText('What you had entered and not signed is here again.').waitFor()
      await entered(app)
      expectEqual(await app.evaluate(() => JSON.stringify([localStorage, sessionStorage])), '[{},{}]', 'what the browser keeps')
      const elsewhere = await launched(page, site, 'demo-5')
      await entered(elsewhere)
      const other = await launched(page, site, 'demo-2')
      expectEqual(await other.getByText('is here again').count(), 0, 'another patient’s draft')
    }
  },
  {
    name: 'a dropped connection loses nothing: the page says so, and keeps and writes when the connection is back',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-5')
      await app.context().setOffline(true)
      await app.locator('h1').click()
      await app.keyboard.press('x')
      await app.getByText('Not kept yet').first().waitFor()
      await app.getByRole('button', { name: 'Preview' }).press('Enter')
      await app.getByText('The connection was lost. Try again.', { exact: true }).waitFor()
      await focusOn(app, 'Preview', 'after a preview that failed')
      await app.context().setOffline(false)
      await app.getByText('Kept as a draft for eight hours.').first().waitFor({ timeout: 15_000 })
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
    }
  },
  {
    name: 'a signature whose answer is lost: the page looks for itself in the record, shows what it finds there, and signing again writes nothing twice',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-2')
      await clean(app)
      await app.locator('[data-joint="right-pip3"]').click()
      await app.keyboard.press('n')
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
      await app.route('**/api/*/sign', async (route) => {
        await route.fetch()
        await route.fulfill({ status: 504, contentType: 'text/html', body: '<h1>504 Gateway Time-out</h1>' })
      }, { times: 1 })
      await app.getByRole('button', { name: 'Sign and record' }).click()
      await app.getByText('No answer came back. Looking in the record whether it was written').waitFor()
      await focusOn(app, /^P: The answer was lost on the way, but it was written: \d+ entries are in the record/, 'when it was found')
      expectEqual((await joint(page, site, 'demo-2', 'R-PIP3')).length, 1, 'what the record holds of the joint')
      await app.getByText('Nothing to sign yet.').waitFor()
      await app.getByText(/^Signed: not swollen \(you, /).waitFor()
      const written = await observationsOf(page, site, 'demo-2')
      await app.locator('[data-joint="right-pip2"]').click()
      await app.keyboard.press('n')
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
      await app.route('**/api/*/sign', (route) => route.abort(), { times: 1 })
      await app.getByRole('button', { name: 'Sign and record' }).click()
      await app.getByText('No answer came back, and the record does not show that anything was written. Sign again').waitFor({ timeout: 40_000 })
      await focusOn(app, 'Sign and record', 'when nothing was found')
      await check('review-not-found', app)
      expectEqual(await observationsOf(page, site, 'demo-2'), written, 'Observations after a signature that never arrived')
      await app.getByRole('button', { name: 'Sign and record' }).click()
      await app.getByText(/entries are in the record/).waitFor()
      expectEqual((await joint(page, site, 'demo-2', 'R-PIP2')).length, 1, 'what the record holds of the joint after signing again')
    }
  },
  {
    name: 'what is entered while a signature is on its way stays, a double click signs once, and a value that no score is made with is named and stays too',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-2')
      await clean(app)
      await app.getByLabel('CRP, mg/L').fill('12')
      await app.getByText('Nothing to sign yet.').waitFor()
      await app.getByText('CRP: written only within a score, and none is complete with it. It stays here.').waitFor()
      expectEqual(await app.getByRole('button', { name: 'Preview' }).isDisabled(), true, 'the preview of a laboratory value alone is off')
      await app.locator('[data-joint="left-ip1"]').click()
      await app.keyboard.press('n')
      await app.keyboard.press('t')
      await app.getByRole('button', { name: 'Preview' }).click()
      const preview = app.getByRole('region', { name: 'Preview' }).first()
      await preview.getByRole('row', { name: /Tender joint .* Left hand, thumb, IP joint .*Present/ }).waitFor()
      await check('review-preview', app)
      let sent = 0
      await app.route('**/api/*/sign', async (route) => {
        sent++
        const answer = await route.fetch()
        await app.getByText('Writing to the record…').waitFor()
        await app.locator('[data-joint="left-pip5"]').click()
        await app.keyboard.press('n')
        await route.fulfill({ response: answer })
      })
      await app.getByRole('button', { name: 'Sign and record' }).dblclick()
      await app.getByText('3 entries are in the record.').waitFor()
      await app.getByText('1 of 22 joints decided.').waitFor()
      expectEqual(sent, 1, 'signatures that were sent')
      expectEqual(await app.locator('[data-joint="left-pip5"]').evaluate((one) => one.classList.contains('called')), true, 'the call that was made meanwhile')
      expectEqual(await app.getByLabel('CRP, mg/L').inputValue(), '12', 'CRP as typed')
      await app.getByText('Kept as a draft for eight hours.').first().waitFor()
      await clean(app)
    }
  },
  {
    name: 'row 37: a session that ends leaves the page readable, says what is kept, and the next launch goes on with it',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-2')
      for (const key of ['ArrowLeft', 's']) await app.keyboard.press(key)
      await app.getByText('Kept as a draft for eight hours.').first().waitFor()
      await endSession(app)
      await app.getByRole('button', { name: 'Preview' }).click()
      await app.getByText('Your session has ended.', { exact: true }).waitFor()
      await app.locator('h1').click()
      await app.keyboard.press('ArrowRight')
      await app.keyboard.press('n')
      await app.getByText('The last changes were not kept: the session had ended.').first().waitFor()
      await app.getByText('What was kept as a draft is there for eight hours').waitFor()
      await app.getByText('What is entered from now on is not kept.').waitFor()
      await check('review-ended', app)
      expectEqual(await app.getByRole('button', { name: 'Sign and record' }).isDisabled(), true, 'the signature is off')
      expectEqual(await app.getByRole('link', { name: /signature/ }).count(), 0, 'ways to a signature that cannot be given')
      const response = await app.reload()
      expectEqual(response?.status(), 401, 'status of the reloaded page')
      await app.getByRole('heading', { name: 'Your session has ended' }).waitFor()
      const again = await launched(page, site, 'demo-2')
      await again.getByText('What you had entered and not signed is here again.').waitFor()
      await again.getByText('1 of 22 joints decided.').waitFor()
    }
  },
  {
    name: 'row 53: the preview says what will be written in words; who signs another answer meanwhile is shown by name, and nothing is written over it',
    async run({ page, site, check }) {
      const [one, two] = [await launched(page, site, 'demo-5'), await launched(page, site, 'demo-5')]
      await clean(one, two)
      for (const [app, key] of [[one, 's'], [two, 'n']] as const) {
        await app.locator('[data-joint="right-wrist"]').click()
        await app.keyboard.press(key)
        await app.getByRole('button', { name: 'Preview' }).click()
        await app.getByRole('heading', { name: 'Exactly this will be written (2 entries)' }).waitFor()
      }
      const line = one.locator('.preview tbody tr')
      expectEqual(await line.count(), 1, 'lines of the preview')
      expectEqual((await line.innerText()).replaceAll(/\s+/g, ' '), 'Joint swelling (clinical examination) Right wrist Present final Clinician examination; AI suggestion seen and corrected', 'the line')
      await check('review-preview', one)
      await one.getByRole('button', { name: 'Sign and record' }).click()
      await one.getByText('2 entries are in the record.').waitFor()
      await one.getByText('Signed so far for these photos: 1 of 22 joints, by you.').waitFor()
      await two.getByRole('button', { name: 'Sign and record' }).click()
      await two.getByText('These joints were signed with another answer.').waitFor()
      await two.getByText('Right wrist: signed swollen (you); your call: not swollen').waitFor()
      await check('review-conflict', two)
      await two.getByRole('button', { name: 'Keep what was signed' }).click()
      await two.getByText('These joints were signed with another answer.').waitFor({ state: 'detached' })
      await focusOn(two, 'What was signed stays.', 'after what was signed is kept')
      await two.reload()
      await two.getByText('Signed so far for these photos: 1 of 22 joints, by you.').waitFor()
    }
  },
  {
    name: 'row 53: an error that was signed is corrected: previewed over what stood there, signed once, and both are shown with their times; a second correction in another window keeps its change',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-5')
      await clean(app)
      await callAndSign(app, 's')
      const kept = app.waitForResponse((response) => response.url().endsWith('/draft') && (response.request().postData() ?? '').includes('"corrects"'))
      await app.getByRole('button', { name: 'Correct what was signed' }).click()
      await app.getByText('You are correcting what was signed').waitFor()
      await app.getByText('Nothing is changed yet.').first().waitFor()
      await kept
      const other = await launched(page, site, 'demo-5')
      await other.getByText('What you had entered and not signed is here again.').waitFor()
      await callAndSign(app, 'n', async () => {
        await app.getByText('1 change to what was signed.').first().waitFor()
        await check('review-correcting', app)
      })
      await app.locator('.signed', { hasText: /^Corrected: not swollen \(you, .*\d\d:\d\d\)Before: swollen \(you, .*\d\d:\d\d\)$/ }).waitFor()
      await app.getByText(/Signed so far for these photos: .* 1 corrected\./).waitFor()
      const [observation] = await joint(page, site, 'demo-5', 'R-PIP5')
      expectEqual([observation?.status, observation?.note?.length].join(), 'corrected,1', 'status and earlier versions in the record')
      await other.locator('[data-joint="right-pip5"]').click()
      await other.keyboard.press('x')
      await other.getByText('1 change to what was signed.').first().waitFor()
      await other.getByRole('button', { name: 'Preview' }).click()
      await other.getByText('The record has changed meanwhile. Nothing was written.').waitFor()
      await callAndSign(other, 'x', undefined, 'x')
      const [after, ...more] = await joint(page, site, 'demo-5', 'R-PIP5')
      expectEqual([after?.status, after?.note?.length, more.length].join(), 'corrected,2,0', 'status and earlier versions after the second correction')
    }
  },
  {
    name: 'row 53: a correction that was begun for earlier photos is not taken for the newer ones: the page says so and leads back to it, and it is signed for the photos that it is of',
    async run({ page, site, check }) {
      const newest = await launched(page, site, 'demo-5')
      const before = (await joint(page, site, 'demo-5', 'R-PIP5')).map(({ id }) => id)
      await clean(newest)
      const app = await page.context().newPage()
      await app.goto(`${newest.url()}?screening=${await earlierScreening(newest)}`)
      await app.getByText('These are earlier photos; newer ones have been read.').waitFor()
      await app.getByText('Photos of 27 Jun').or(app.getByText(/^Old photos: /)).first().waitFor()
      await clean(app)
      await callAndSign(app, 's')
      const kept = app.waitForResponse((response) => response.url().endsWith('/draft') && (response.request().postData() ?? '').includes('"corrects"'))
      await app.getByRole('button', { name: 'Correct what was signed' }).click()
      await app.getByText('You are correcting what was signed').waitFor()
      await kept
      await newest.reload()
      await newest.getByText('You began to correct what was signed for earlier photos').waitFor()
      await newest.getByText(/was not carried over/).waitFor()
      expectEqual(await newest.getByText('Your calls on earlier photos').count(), 0, 'offers to take over what is no call on a joint')
      await check('review-earlier-correction', newest)
      await newest.getByRole('link', { name: 'Go on with the correction' }).click()
      await newest.getByText('You are correcting what was signed').waitFor()
      await check('review-earlier-photos', newest)
      await callAndSign(newest, 'n')
      const ofThese = (await joint(page, site, 'demo-5', 'R-PIP5')).filter(({ id }) => !before.includes(id))
      expectEqual(ofThese.map(({ status }) => status).join(), 'corrected', 'what the record holds of the joint on these photos')
      await newest.getByRole('link', { name: 'Show the newer photos' }).click()
      await newest.getByText('Nothing to sign yet.').waitFor()
      expectEqual(await newest.getByText('You began to correct').count(), 0, 'corrections that are left')
    }
  },
  {
    name: 'the names of all joints of a hand can be read on the photo at every width: none covers another one or a ring',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-1')
      await clean(app)
      for (let joint = 0; joint < 22; joint++) {
        await app.keyboard.press('s')
        await app.keyboard.press('ArrowRight')
      }
      await app.getByText('22 of 22 joints decided.').waitFor()
      for (const width of [320, 768, 900, 1024, 1440]) {
        await app.setViewportSize({ width, height: 1000 })
        await app.evaluate(() => new Promise((resolve) => { requestAnimationFrame(() => requestAnimationFrame(resolve)) }))
        expectEqual((await app.evaluate(coveredNames)).join('; '), '', `names that cover something at ${width} px`)
      }
      await check('review-all-swollen', app)
      await clean(app)
    }
  },
  {
    name: 'over time: drugs that began on one day can each be read, and a single score of 0 is drawn',
    async run({ page, site, check }) {
      const day = (ago: number) => new Date(Date.now() - ago * 86_400_000).toISOString()
      const early = ['methotrexate', 'sulfasalazine', 'hydroxychloroquine'].map((name) => ({ name, started: day(150) }))
      const late = ['certolizumab pegol', 'leflunomide', 'Prednisolone 5 mg tablets, one every morning with food'].map((name) => ({ name, started: day(3) }))
      await page.context().route('**/api/*/context?*', (route) => route.fulfill({ json: { treatments: [...early, ...late], scores: [{ index: 'CDAI', value: 0, at: day(1) }], absent: {} } }))
      const app = await launched(page, site, 'demo-5')
      await app.locator('.trend .treatment-names text').first().waitFor()
      expectEqual((await app.evaluate(coveredDrugs)).join('; '), '', 'words of the chart that cannot be read')
      expectEqual((await app.evaluate(flagsTurnedAway)).join('; '), '', 'flags that point away from their names')
      expectEqual((await app.locator('.trend').innerHTML()).includes('NaN'), false, 'a mark that is nowhere')
      await check('review-drugs', app)
    }
  },
  {
    name: 'where the record takes no corrections the app says so and where each finding lies',
    async run({ page, site, check }) {
      await page.context().route('**/api/*/signed?*', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: { ...(await answer.json() as object), uncorrectable: 'no-updates' } })
      })
      const app = await launched(page, site, 'demo-2')
      await clean(app)
      // Not swollen changes no count that another flow may have signed.
      if ((await joint(page, site, 'demo-2', 'R-PIP5')).length === 0) await callAndSign(app, 'n')
      await app.getByRole('button', { name: 'Correct what was signed' }).click()
      await app.getByText('This record takes no changes of signed findings from apps.').waitFor()
      await app.getByText(/^Joint swelling \(clinical examination\), Right hand/).first().waitFor()
      await check('review-uncorrectable', app)
      await app.getByRole('button', { name: 'Close' }).click()
    }
  },
  {
    name: 'keys: help on "?", letters that can be switched off, from one suggested joint to the next, zoom and pan',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-1')
      await clean(app)
      await app.keyboard.press('?')
      await app.getByRole('dialog', { name: 'Keys' }).waitFor()
      await check('review-keys', app)
      await app.getByLabel(/Letter keys do something/).uncheck()
      await app.keyboard.press('Escape')
      await app.locator('h1').click()
      await app.keyboard.press('s')
      await app.getByText('Nothing to sign yet.').waitFor()
      await app.getByRole('button', { name: /^Keys/ }).click()
      await app.getByLabel(/Letter keys do something/).check()
      await app.getByRole('button', { name: 'Close' }).click()
      await app.locator('h1').click()
      const first = await app.locator('.joint-panel h2').innerText()
      await app.keyboard.press('f')
      if (await app.locator('.joint-panel h2').innerText() === first) throw new Error('Expected f to go to the next suggested joint')
      await app.keyboard.press('F')
      expectEqual(await app.locator('.joint-panel h2').innerText(), first, 'the joint that F goes back to')
      await app.locator('.joint[tabindex="0"]').focus()
      expectEqual(await app.locator('.joint:focus-visible').evaluate((one) => getComputedStyle(one).outlineStyle), 'solid', 'outline of the joint with the focus in the diagram')
      for (const key of ['+', '+']) await app.keyboard.press(key)
      const frame = app.locator('.photo-frame.zoomed')
      await frame.waitFor()
      for (const width of [1440, 900]) {
        await app.setViewportSize({ width, height: 1000 })
        await app.waitForFunction(inTheMiddle, undefined, { timeout: 5_000 }).catch(() => { throw new Error(`Expected the chosen joint in the middle of the zoomed photo at ${width} px`) })
      }
      await app.setViewportSize({ width: 1440, height: 1000 })
      const before = await frame.evaluate((element) => element.scrollLeft)
      await frame.focus()
      await app.keyboard.press('ArrowRight')
      await app.waitForFunction((was) => (document.querySelector('.photo-frame.zoomed')?.scrollLeft ?? 0) > was, before)
      expectEqual(await app.locator('.joint-panel h2').innerText(), first, 'the joint while the arrows move the photo')
      await app.keyboard.press('0')
      await frame.waitFor({ state: 'detached' })
      expectEqual(await app.evaluate(() => localStorage.length), 1, 'what the browser remembers: whether letters do something')
    }
  },
  {
    name: 'with touch alone on a tablet: a joint by its place in the photo, a call, pinch to zoom, and no control smaller than 44 px',
    async run({ page, site, check }) {
      const context = await page.context().browser()?.newContext({ viewport: { width: 768, height: 1024 }, hasTouch: true, isMobile: true })
      if (!context) throw new Error('Expected a browser')
      try {
        const app = await launched(await context.newPage(), site, 'demo-1')
        await clean(app)
        const mark = await app.locator('.mark').nth(3).boundingBox()
        if (!mark) throw new Error('Expected a photo with marks')
        const before = await app.locator('.joint-panel h2').innerText()
        await app.touchscreen.tap(mark.x + mark.width / 2 + 8, mark.y + mark.height / 2)
        const name = await app.locator('.joint-panel h2').innerText()
        if (name === before) throw new Error('Expected a tap beside a ring to choose that joint')
        await app.waitForFunction(() => (document.querySelector('#chosen-joint .acts')?.getBoundingClientRect().bottom ?? Infinity) <= innerHeight, undefined, { timeout: 5_000 })
          .catch(() => { throw new Error('Expected the joint that was tapped on the screen, with its buttons') })
        await app.getByRole('button', { name: 'Swollen', exact: true }).tap()
        await app.getByText('1 of 22 joints decided.').waitFor()
        const wrist = app.locator('[data-joint="left-wrist"]')
        await wrist.scrollIntoViewIfNeeded()
        const place = await wrist.boundingBox()
        if (!place) throw new Error('Expected the wrist in the diagram')
        await app.touchscreen.tap(place.x + place.width / 2 + 19, place.y + place.height / 2)
        expectEqual(await app.locator('.joint-panel h2').innerText(), 'Left wrist', 'the joint after a tap 19 px beside it in the diagram')
        await app.locator('[data-joint="right-wrist"]').dispatchEvent('click')
        expectEqual(await app.locator('.joint-panel h2').innerText(), 'Right wrist', 'the joint after a click without a place, as a screen reader makes it')
        // A box is ticked by its label too; in the diagram the nearest joint within 22 px is meant.
        const small = await app.evaluate(() => [...document.querySelectorAll('button, a, input, [role=button] .target')].flatMap((one) => {
          const { width, height } = (one.matches('[type=checkbox]') ? one.closest('label') ?? one : one).getBoundingClientRect()
          const least = one.matches('.target') ? 24 : 43.5
          return width > 0 && Math.min(width, height) < least && !one.closest('p:not(.decided-bar), footer') ? [`${one.tagName} ${one.textContent ?? ''} ${Math.round(width)}×${Math.round(height)}`] : []
        }))
        expectEqual(small.join('; '), '', 'controls below 44 px')
        const frame = app.locator('.photo-frame').first()
        // The tap on a button below may have scrolled the page.
        await frame.scrollIntoViewIfNeeded()
        const photo = await frame.boundingBox()
        if (!photo) throw new Error('Expected a photo')
        await pinch(app, photo)
        await app.locator('.photo-frame.zoomed').waitFor()
        await check('review-tablet', app)
      } finally {
        await context.close()
      }
    }
  },
  {
    name: 'in shadow mode photos and joints are shown, nothing that the model says, and nothing can be signed',
    async run({ page, site, check }) {
      await launched(page, site, 'demo-5')
      await page.context().route('**/api/*/session', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: { ...(await answer.json() as object), mode: 'shadow', calibrated: false, canSign: false } })
      })
      await page.context().route('**/api/*/review', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: withheld(await answer.json() as ReviewAnswer) })
      })
      const app = await page.context().newPage()
      await app.goto(`${site.ehr}/demo/launch?patient=demo-5`)
      await app.getByText('Suggestion withheld (shadow mode)', { exact: true }).waitFor()
      await app.getByText('Not calibrated for this site’s photos.').waitFor()
      await app.locator('.trend text', { hasText: /^28 Sept? 2026$/ }).waitFor()
      expectEqual(await app.locator('.joint.flagged, .mark.flagged, .probability').count(), 0, 'traces of the model')
      await check('review-shadow', app)
    }
  },
  {
    name: 'in German, at every width, with nothing left in English',
    async run({ page, site, check }) {
      await (await launched(page, site, 'demo-5')).close()
      await page.context().route('**/api/*/session', async (route) => {
        const answer = await route.fetch()
        await route.fulfill({ response: answer, json: { ...(await answer.json() as object), language: 'de' } })
      })
      const app = await launched(page, site, 'demo-5')
      await app.getByRole('heading', { name: 'Krankheitsaktivität' }).waitFor()
      expectEqual(await app.evaluate(() => document.documentElement.lang), 'de', 'language of the page')
      const english = (await app.locator('main').innerText()).match(/\b(?:swollen|tender|joints?|photos|Signed?|Preview|Over time|possible)\b/g)
      expectEqual(english?.join(' ') ?? '', '', 'English words')
      for (const width of [320, 768, 900, 1440]) {
        await app.setViewportSize({ width, height: 1000 })
        expectEqual((await app.evaluate(brokenWords)).join('; '), '', `words that break in the middle at ${width} px`)
      }
      await check('review-german', app)
    }
  },
  {
    name: 'row 39: signing out ends the session here, and the address opens nothing any more',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-2')
      const address = app.url()
      await app.getByRole('button', { name: 'Sign out' }).click()
      await app.getByRole('heading', { name: 'You are signed out' }).waitFor()
      await check('review-left', app)
      expectEqual((await app.goto(address))?.status(), 401, 'status of the address after signing out')
    }
  }
]

interface ReviewAnswer {
  readonly latest?: { readonly photos: readonly { readonly hands: readonly object[] }[] }
  readonly history: readonly object[]
}

/** As the server answers in shadow mode (test: “in shadow mode the photos and where the joints lie”). */
function withheld({ latest, history, ...rest }: ReviewAnswer): object {
  const photos = latest?.photos.map((photo) => ({ ...photo, hands: photo.hands.map((hand) => ({ ...hand, joints: [] })) }))
  const silent = { findings: [], count: undefined }
  return { ...rest, latest: { ...latest, ...silent, photos }, history: history.map((visit) => ({ ...visit, ...silent })) }
}

async function entered(app: Page): Promise<void> {
  await app.getByText('2 of 22 joints decided.').waitFor()
  expectEqual(await app.getByLabel('Physician global, 0–10').inputValue(), '4', 'the physician’s global')
  expectEqual(await app.getByRole('row', { name: /Left elbow/ }).getByLabel('swollen').isChecked(), true, 'the elbow')
  await app.getByText('Marked so far: 2 swollen, 1 tender.').waitFor()
}

/** Runs in the page: which names on the photos cover another name, or the middle of a ring, or are too small to read. */
function coveredNames(): string[] {
  return [...document.querySelectorAll('.photo-frame svg')].flatMap((picture) => {
    const names = [...picture.querySelectorAll('text')].map((text) => ({ words: text.textContent ?? '', box: text.getBoundingClientRect(), size: parseFloat(text.getAttribute('font-size') ?? '0') * (picture.getBoundingClientRect().width / (picture as SVGSVGElement).viewBox.baseVal.width) }))
    const rings = [...picture.querySelectorAll('circle.ring')].map((ring) => ring.getBoundingClientRect())
    const meet = (a: DOMRect, b: DOMRect, inset: number) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > inset && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > inset
    return [
      ...(names.length < 11 ? [`only ${names.length} names`] : []),
      ...names.flatMap(({ words, box, size }, at) => [
        ...names.slice(at + 1).filter((other) => meet(box, other.box, 2)).map((other) => `${words} over ${other.words}`),
        ...rings.filter((ring) => meet(box, ring, ring.width / 3)).map(() => `${words} over a ring`), ...(size < 12 ? [`${words} ${size} px`] : [])
      ])
    ]
  })
}

/** Runs in the page: which words begin on one line and end on the next, other than at a hyphen or a stroke. */
function brokenWords(): string[] {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const broken: string[] = []
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    for (const word of (text.textContent ?? '').matchAll(/[\p{L}\d]{3,}/gu)) {
      const range = document.createRange()
      range.setStart(text, word.index)
      range.setEnd(text, word.index + word[0].length)
      if (new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size > 1) broken.push(word[0])
    }
  }
  return broken
}

/** Runs in the page: which words of the chart over time lie over others, or are cut off. */
function coveredDrugs(): string[] {
  const chart = document.querySelector('.trend')
  if (!chart) return ['no chart']
  const edge = chart.getBoundingClientRect()
  const texts = [...chart.querySelectorAll('text')].map((text) => ({ words: text.textContent ?? '', box: text.getBoundingClientRect() }))
  return texts.flatMap(({ words, box }, at) => [
    ...texts.slice(at + 1).filter((other) => Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left) > 1 && Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) > 5).map((other) => `${words} over ${other.words}`),
    ...(box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top - 1 ? [`${words} is cut off`] : [])
  ])
}

/** Runs in the page: which drugs' names do not stand where their flags point to. */
function flagsTurnedAway(): string[] {
  const names = [...document.querySelectorAll('.trend .treatment-names text')].map((text) => ({ words: text.textContent ?? '', box: text.getBoundingClientRect() }))
  return [...document.querySelectorAll('.trend .treatment')].flatMap((mark, at) => {
    const [line, flag] = [mark.querySelector('path')?.getBoundingClientRect(), mark.querySelector('.flag')?.getBoundingClientRect()]
    const name = names[at]
    if (!line || !flag || !name) return ['a mark without a name']
    const middle = (box: DOMRect) => box.left + box.width / 2
    return (middle(flag) < middle(line)) === (middle(name.box) < middle(line)) ? [] : [name.words]
  })
}

/** Runs in the page: whether the chosen joint lies in the middle of the zoomed photo. */
function inTheMiddle(): boolean {
  const [frame, mark] = ['.photo-frame.zoomed', '.photo-frame.zoomed .mark.chosen'].map((part) => document.querySelector(part)?.getBoundingClientRect())
  return frame !== undefined && mark !== undefined && Math.hypot(mark.x + mark.width / 2 - frame.x - frame.width / 2, mark.y + mark.height / 2 - frame.y - frame.height / 2) < 30
}

interface SignedObservation { readonly id: string; readonly status: string; readonly note?: readonly object[]; readonly bodySite?: { readonly coding: readonly { readonly code: string }[] }; readonly performer?: object }

/** What clinicians signed for one joint, as the record has it. */
async function joint(page: Page, site: Site, patient: string, code: string): Promise<readonly SignedObservation[]> {
  const { observations } = (await (await page.request.get(`${site.ehr}/demo/patients/${patient}`)).json()) as { observations: SignedObservation[] }
  return observations.filter(({ performer, bodySite }) => performer !== undefined && bodySite?.coding.some((one) => one.code === code))
}

/** A call on the right PIP 5 (unless it stands already), previewed and signed. */
async function callAndSign(app: Page, key: string, before?: () => Promise<void>, called?: string): Promise<void> {
  await app.locator('[data-joint="right-pip5"]').click()
  if (key !== called) await app.keyboard.press(key)
  await before?.()
  await app.getByRole('button', { name: 'Preview' }).click()
  await app.getByRole('heading', { name: /Exactly this will be written/ }).waitFor()
  await app.getByRole('button', { name: 'Sign and record' }).click()
  await app.getByText(/entries are in the record/).waitFor()
}

/** The screening of the photos before the newest ones. */
function earlierScreening(app: Page): Promise<string> {
  return app.evaluate(async () => {
    const review = await (await fetch(`/smart/api/${location.pathname.split('/').at(-1)}/review`)).json() as { history: { id: string }[] }
    return review.history[1]?.id ?? ''
  })
}

/** The EHR's and our session end behind the page's back. */
async function endSession(app: Page): Promise<void> {
  await app.evaluate(async () => {
    const api = `/smart/api/${location.pathname.split('/').at(-1)}`
    const { csrf } = await (await fetch(`${api}/session`)).json() as { csrf: string }
    await fetch(`${api}/logout`, { method: 'POST', headers: { 'x-jointlens-csrf': csrf } })
  })
}

async function pinch(app: Page, { x, y, width, height }: { readonly x: number; readonly y: number; readonly width: number; readonly height: number }): Promise<void> {
  const devtools = await app.context().newCDPSession(app)
  const [cx, cy] = [x + width / 2, y + height / 2]
  const fingers = (apart: number) => [{ x: cx - apart, y: cy, id: 0 }, { x: cx + apart, y: cy, id: 1 }]
  await devtools.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: fingers(30) })
  for (const apart of [40, 60, 80, 100]) await devtools.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: fingers(apart) })
  await devtools.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] })
}
