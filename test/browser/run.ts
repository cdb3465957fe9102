import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import AxeBuilder from '@axe-core/playwright'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import sharp from 'sharp'
import { CHROMIUM, hasEnded, NO_CHROMIUM, startDemo, stopDemo } from './demo-site.ts'
import { flows } from './flows.ts'

/**
 * Drives the demo in the system's Chromium: every flow of flows.ts against the real processes that `npm start` runs, with an
 * accessibility check of each page at three widths. The last line is a JSON object; `--pictures` also renews docs/images.
 */
const PICTURES = process.argv.includes('--pictures') ? 'docs/images' : undefined
const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice('--only='.length)

if (!CHROMIUM) {
  process.stdout.write(NO_CHROMIUM)
  process.stdout.write(`${JSON.stringify({ pages: 0, axeViolations: 0, flows: 0, failed: 1 })}\n`)
  process.exit(1)
}

const data = mkdtempSync(join(tmpdir(), 'jointlens-browser-'))
const { site, child } = await startDemo(data)
const browser = await chromium.launch({
  executablePath: CHROMIUM,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', `--use-file-for-fake-video-capture=${await cameraPicture()}`, '--test-third-party-cookie-phaseout']
})
const checked = { pages: 0, axeViolations: 0 }
const failures: string[] = []
const wanted = flows.filter(({ name }) => !only || only.split('|').some((part) => name.includes(part)))
for (const flow of wanted) {
  if (hasEnded(child)) {
    failures.push(flow.name)
    continue
  }
  const began = performance.now()
  try {
    await inContext(browser, flow.name, (page) => flow.run({
      page, site, check: (name, of = page) => checkPage(of, name), picture: (name, of = page, part) => picture(of, name, part)
    }))
    process.stdout.write(`ok    ${flow.name} (${Math.round(performance.now() - began)} ms)\n`)
  } catch (error) {
    failures.push(flow.name)
    process.stdout.write(`FAIL  ${flow.name}\n      ${error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 12).join('\n      ') : String(error)}\n`)
  }
}
await browser.close()
const disorder = await stopDemo(child)
if (disorder) process.stdout.write(`FAIL  ${disorder}\n`)
rmSync(data, { recursive: true, force: true })

mkdirSync('test-results', { recursive: true })
const failed = failures.length + (checked.axeViolations > 0 ? 1 : 0) + (disorder ? 1 : 0)
writeFileSync('test-results/browser.json', JSON.stringify({ passed: wanted.length - failures.length, failed, skipped: 0 }))
process.stdout.write(`${JSON.stringify({ ...checked, flows: wanted.length, failed })}\n`)
process.exit(failed === 0 ? 0 : 1)

/** What the browser's camera sees: a synthetic left hand, as motion JPEG (frames one after the other). */
async function cameraPicture(): Promise<string> {
  const frame = await sharp('demo/photos/demo-1-left.jpg').resize(1280, 1280).jpeg({ quality: 90 }).toBuffer()
  const path = join(data, 'camera.mjpeg')
  writeFileSync(path, Buffer.concat([frame, frame, frame]))
  return path
}

async function inContext(from: Browser, name: string, work: (page: Page) => Promise<void>): Promise<void> {
  const context = await from.newContext({ viewport: { width: 1440, height: 1000 } })
  const page = await context.newPage()
  try {
    await work(page)
  } catch (error) {
    await tellPages(context, name)
    throw error
  } finally {
    // A request that a flow answers itself may still be on its way.
    await context.unrouteAll({ behavior: 'ignoreErrors' })
    await context.close()
  }
}

/** What its pages showed and said when a flow failed: a picture of each in test-results, and its messages. */
async function tellPages(context: BrowserContext, name: string): Promise<void> {
  for (const [at, page] of context.pages().entries()) {
    const path = join('test-results', `${name.replace(/[^a-z0-9]+/gi, '-').slice(0, 60)}-${at}.png`)
    const said = await page.getByRole('status').or(page.getByRole('alert')).allTextContents().catch(() => [])
    await page.screenshot({ path, fullPage: true }).catch(() => undefined)
    process.stdout.write(`      ${path}: ${said.filter((one) => one.trim() !== '').join(' | ')}\n`)
  }
}

/** WCAG 2.2 AA by axe, no sideways scrolling, at phone, tablet, EHR frame and desk width, in light, dark and forced colours. */
async function checkPage(page: Page, name: string): Promise<void> {
  for (const [width, scheme] of [[320, 'light'], [768, 'dark'], [900, 'forced'], [1440, 'light']] as const) {
    await page.emulateMedia({ colorScheme: scheme === 'forced' ? 'dark' : scheme, forcedColors: scheme === 'forced' ? 'active' : 'none' })
    await page.setViewportSize({ width, height: 1000 })
    // The bar at the foot stays on the screen while the page moves under it: what happens to lie under it now is no target that is too small.
    await page.evaluate(() => {
      const sheet = new CSSStyleSheet()
      sheet.replaceSync('.decided-bar { position: static !important }')
      document.adoptedStyleSheets = [sheet]
    })
    const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze()
    checked.pages++
    checked.axeViolations += violations.length
    for (const { id, nodes } of violations) process.stdout.write(`axe   ${name} at ${width} ${scheme}: ${id} (${nodes.map(({ target, any }) => `${target.join(' ')} ${any[0]?.message ?? ''}`).slice(0, 3).join('; ')})\n`)
    const sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    if (sideways > 1) throw new Error(`${name} scrolls sideways by ${sideways} px at ${width} px: ${(await page.evaluate(tooWide)).join(' | ')}`)
    if (process.env['SHOTS']) {
      mkdirSync(process.env['SHOTS'], { recursive: true })
      await page.screenshot({ path: join(process.env['SHOTS'], `${name}-${width}.png`), fullPage: true })
    }
  }
  await page.evaluate(() => { document.adoptedStyleSheets = [] })
  await page.emulateMedia({ colorScheme: 'light', forcedColors: 'none' })
  await page.setViewportSize({ width: 1440, height: 1000 })
}

/** What reaches beyond the page, innermost last. */
function tooWide(): string[] {
  const edge = document.documentElement.clientWidth + 1
  return [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > edge).slice(-6)
    .map((one) => `${one.tagName.toLowerCase()}.${one.getAttribute('class') ?? ''} ${one.textContent.trim().slice(0, 40)}`)
}

async function picture(page: Page, name: string, part?: string): Promise<void> {
  if (!PICTURES) return
  mkdirSync(PICTURES, { recursive: true })
  const options = { path: join(PICTURES, name), ...(name.endsWith('.jpg') ? { type: 'jpeg' as const, quality: 85 } : {}) }
  await (part ? page.locator(part).first().screenshot(options) : page.screenshot(options))
}
