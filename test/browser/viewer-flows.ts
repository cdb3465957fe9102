import type { Page } from 'playwright-core'
import { expectEqual, launched, type Flow } from './steps.ts'

/** What a viewer of pictures is expected to do: zoom to a place, light, and one hand beside the other. */
export const viewerFlows: readonly Flow[] = [
  {
    name: 'a double click zooms to the place where it is, and another one back to the whole photo',
    async run({ page, site }) {
      const app = await launched(page, site, 'demo-1')
      await app.locator('[data-joint="left-pip5"]').click()
      const frame = app.locator('.photo-frame').first()
      // What the record says of the joints comes a moment later and may move the photos.
      await app.waitForLoadState('networkidle')
      const box = await frame.boundingBox()
      if (!box) throw new Error('Expected a photo')
      // Near the wrist's end of the photo, where no joint is.
      const [x, y] = [box.width * 0.53, box.height * 0.88]
      const partUnder = () => frame.evaluate((element, at) => [(element.scrollLeft + at.x) / element.scrollWidth, (element.scrollTop + at.y) / element.scrollHeight].map((part) => part.toFixed(1)).join(), { x, y })
      const before = await partUnder()
      await app.mouse.dblclick(box.x + x, box.y + y)
      await app.locator('.photo-frame.zoomed').first().waitFor()
      expectEqual(await partUnder(), before, 'the part of the photo under the pointer')
      await app.mouse.dblclick(box.x + x, box.y + y)
      await app.locator('.photo-frame.zoomed').waitFor({ state: 'detached' })
    }
  },
  {
    name: 'brightness and contrast by key and slider change the photos and close-ups, not the marks, say that the model read them as taken, and go back',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-1')
      expectEqual(await filters(app), 'none none none', 'filters of a photo, its close-up and its marks at first')
      for (const key of ['b', 'b', 'C']) await app.keyboard.press(key)
      await app.getByText('For looking only: the model read the photos as taken.').waitFor()
      expectEqual(await filters(app), 'brightness(1.2) contrast(0.9) brightness(1.2) contrast(0.9) none', 'filters after the keys')
      await app.getByLabel('Contrast').fill('1.5')
      expectEqual(await app.getByLabel('Contrast').getAttribute('aria-valuetext'), '150 %', 'what is said of the slider')
      await check('review-light', app)
      await app.getByRole('button', { name: 'As taken' }).click()
      expectEqual(await filters(app), 'none none none', 'filters as taken')
    }
  },
  {
    name: 'the same joint of the other hand stands mirrored beside the chosen one when asked for, with what the model says of it, and where there is none nothing is offered',
    async run({ page, site, check }) {
      const app = await launched(page, site, 'demo-1')
      await app.locator('[data-joint="right-pip4"]').click()
      expectEqual(await app.locator('.close-ups figure').count(), 1, 'close-ups at first')
      await app.keyboard.press('o')
      const other = app.getByRole('img', { name: /Left PIP 4.*mirrored/ })
      await other.waitFor()
      expectEqual(await other.evaluate((image) => getComputedStyle(image).transform), 'matrix(-1, 0, 0, 1, 0, 0)', 'mirrored')
      if (!(await other.getAttribute('src'))?.endsWith('side=left&joint=pip4')) throw new Error('Expected the close-up of the other hand')
      await app.locator('.close-ups figcaption', { hasText: /Left \(mirrored\) · \d+\u00A0%Not flagged/ }).waitFor()
      expectEqual(await app.getByRole('button', { name: 'Other hand' }).getAttribute('aria-pressed'), 'true', 'the button')
      await check('review-other-hand', app)
      const single = await launched(page, site, 'demo-3')
      expectEqual(await single.getByRole('button', { name: 'Other hand' }).count(), 0, 'offers where there is one photo')
    }
  },
  {
    name: 'on a phone a figure of the model card and its interval stay whole, and the name of the row stays in sight when the table is moved',
    async run({ page, site }) {
      await page.setViewportSize({ width: 390, height: 844 })
      await page.goto(`${site.jointlens}/models/current`)
      const broken = await page.locator('.interval').evaluateAll((all) => all.filter((one) => one.getClientRects().length !== 1 || one.getBoundingClientRect().height > 30).length)
      expectEqual(broken, 0, 'intervals that break')
      const table = page.locator('.scroll').first()
      await table.evaluate((element) => { element.scrollLeft = 60 })
      const [left, edge] = [await table.locator('tbody td').first().boundingBox(), await table.boundingBox()]
      expectEqual(Math.round((left?.x ?? -1) - (edge?.x ?? 0)), 0, 'px between the row’s name and the edge')
    }
  }
]

/** Runs in the page: how the first photo, the close-up and the marks are shown. */
function filters(app: Page): Promise<string> {
  return app.evaluate(() => ['.photo-frame img', '.close-up .sharp', '.photo-frame svg'].map((part) => getComputedStyle(document.querySelector(part) ?? document.body).filter).join(' '))
}
