import { readFileSync } from 'node:fs'
import type { Locator, Page } from 'playwright-core'

export interface Site {
  readonly jointlens: string
  readonly ehr: string
}

export interface FlowTools {
  readonly page: Page
  readonly site: Site
  /** Accessibility and width of a page (the flow's own unless told) as it stands. */
  check(name: string, of?: Page): Promise<void>
  /** A picture for the documents, of the page or of a part of it; only with --pictures. */
  picture(name: string, of?: Page, part?: string): Promise<void>
}

export interface Flow {
  readonly name: string
  run(tools: FlowTools): Promise<void>
}

export async function openChart(page: Page, site: Site, patient: string): Promise<void> {
  await page.goto(`${site.ehr}/patients/${patient}`)
  await page.locator('#columns').waitFor()
}

/** The card whose summary matches; a pending one becomes the result by itself. */
export async function card(page: Page, summary: RegExp) {
  const article = page.locator('#cards article.card').filter({ has: page.getByRole('heading', { name: summary }) })
  await article.waitFor({ timeout: 90_000 })
  return article
}

export async function opened(page: Page, click: () => Promise<void>): Promise<Page> {
  const [app] = await Promise.all([page.context().waitForEvent('page'), click()])
  await app.waitForURL(/\/smart\/app\//, { timeout: 30_000 })
  return app
}

export async function launched(page: Page, site: Site, patient: string): Promise<Page> {
  const app = await page.context().newPage()
  await app.goto(`${site.ehr}/demo/launch?patient=${patient}`)
  await app.waitForURL(/\/smart\/app\//, { timeout: 30_000 })
  const read = app.getByRole('button', { name: 'Read the photos now' })
  await app.locator('.count').or(read).or(app.getByText('The hand photos are being read')).first().waitFor()
  if (await read.isVisible()) await read.click()
  await app.locator('.count').waitFor({ timeout: 90_000 })
  return app
}

/** Takes back what other flows had entered for this patient, so that one call is all there is. */
export async function clean(...pages: readonly Page[]): Promise<void> {
  for (const app of pages) {
    for (let time = 1; ; time++) {
      await app.evaluate(async () => {
        const api = `/smart/api/${location.pathname.split('/').at(-1)}`
        const { csrf } = await (await fetch(`${api}/session`)).json() as { csrf: string }
        const { latest } = await (await fetch(`${api}/review`)).json() as { latest: { id: string } }
        const empty = { screeningId: latest.id, decisions: [], tender: [], swollen: [], examinedAll: false, typed: {} }
        await fetch(`${api}/draft`, { method: 'PUT', headers: { 'content-type': 'application/json', 'x-jointlens-csrf': csrf }, body: JSON.stringify(empty) })
      })
      await app.reload()
      const isClean = await app.getByText('Nothing to sign yet.').waitFor({ timeout: 8_000 }).then(() => true, () => false)
      if (isClean) break
      // What was entered a moment before may have been on its way and come after what was put there; a page just loaded sends nothing.
      if (time === 3) throw new Error('Expected a page without a draft')
    }
  }
}

export async function choosePhoto(app: Page, name: string): Promise<void> {
  const buffer = readFileSync(new URL(`../../demo/photos/${name}`, import.meta.url))
  await app.locator('input[type=file]').setInputFiles({ name, mimeType: 'image/jpeg', buffer })
  await app.getByRole('button', { name: 'Use this photo' }).click()
}

export async function observationsOf(page: Page, site: Site, patient: string): Promise<number> {
  const response = await page.request.get(`${site.ehr}/demo/patients/${patient}`)
  const { observations } = (await response.json()) as { observations: unknown[] }
  return observations.length
}

export function expectEqual(received: unknown, expected: unknown, what: string): void {
  if (received !== expected) throw new Error(`Expected ${String(expected)} for ${what} but received ${String(received)}`)
}

/** A field that the page fills in by itself holds this value, now or once the record has answered; if not, the error shows what it holds. */
export async function filledIn(field: Locator, expected: string, what: string): Promise<void> {
  const until = performance.now() + 30_000
  while ((await field.inputValue()) !== expected && performance.now() < until) await field.page().waitForTimeout(50)
  expectEqual(await field.inputValue(), expected, what)
}

/** The element with the focus, once it is the one whose words begin so: what a screen reader reads next. */
export async function focusOn(page: Page, words: string | RegExp, what: string): Promise<void> {
  const until = performance.now() + 10_000
  const read = () => page.evaluate(() => `${document.activeElement?.tagName ?? ''}: ${document.activeElement?.textContent ?? ''}`)
  const wanted = typeof words === 'string' ? (now: string) => now.includes(`: ${words}`) : (now: string) => words.test(now)
  while (!wanted(await read()) && performance.now() < until) await page.waitForTimeout(50)
  const now = await read()
  if (!wanted(now)) throw new Error(`Expected the focus on ${String(words)} ${what} but it is on ${now.slice(0, 120)}`)
}

/** Presses Tab until the wanted element has the focus, as a person without a mouse would. */
export async function tabTo(page: Page, name: string | RegExp, role: 'button' | 'link' | 'checkbox' | 'spinbutton' | 'summary'): Promise<void> {
  const wanted = role === 'summary' ? page.locator('summary', { hasText: name }).first() : page.getByRole(role, { name }).first()
  for (let presses = 0; presses < 120; presses++) {
    if (await wanted.evaluate((element) => element === document.activeElement)) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`Expected to reach ${String(name)} with Tab but did not`)
}
