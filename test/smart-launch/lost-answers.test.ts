import { afterEach, describe, expect, jest, test } from '@jest/globals'

// The page's own modules read the address they were loaded from.
Object.assign(globalThis, { location: { pathname: '/smart/app/handle' }, window: new EventTarget() })
const { ApiError, checkPhoto, preview, savePhoto, SESSION_ENDED, sign } = await import('../../smart-launch/web/src/api.ts')
const { lookedFor } = await import('../../smart-launch/web/src/lost-signature.ts')
const { CAPTURE_WORDS, captureErrorWords } = await import('../../smart-launch/web/src/capture-words.ts')
const { errorWords, WORDS } = await import('../../smart-launch/web/src/words.ts')

afterEach(() => { jest.restoreAllMocks() })

const review = { screeningId: 's-1', decisions: [] }
const photo = { blob: new Blob(['x'], { type: 'image/jpeg' }), side: 'left', takenAt: 0, camera: 'file' } as const
const entered = { ...review, tender: [], swollen: [], examinedAll: false, typed: {} }
const signs = () => sign('secret', review, { at: '', digest: '' }, entered)
const saves = () => savePhoto('secret', photo)
const ours = (code: string, status = 403) => new Response(JSON.stringify({ resourceType: 'OperationOutcome', issue: [{ details: { text: code }, diagnostics: 'in English' }] }), { status })

const LOST: readonly (readonly [string, () => Promise<Response>])[] = [
  ['the connection was lost', () => Promise.reject(new TypeError('Failed to fetch'))],
  ['a proxy answered 504 with its own page', () => Promise.resolve(new Response('<html>504</html>', { status: 504 }))],
  ['a proxy answered 502 with its own JSON', () => Promise.resolve(new Response('{"message":"Endpoint request timed out"}', { status: 502 }))],
  ['a proxy answered 200 with its own page', () => Promise.resolve(new Response('<html>Sign in to the network</html>'))],
  ['the answer broke off', () => Promise.resolve(new Response('{"written":["Obs'))]
]

describe.each(LOST)('when %s', (_, answer) => {
  test.each([['a signature', signs], ['a photo that is saved', saves]])('%s may have been written: the page says that this is not known, and that nothing is written twice', async (_name, write) => {
    jest.spyOn(globalThis, 'fetch').mockImplementation(answer)
    const error = await write().catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'ERR_WRITE_AMBIGUOUS' })
    expect([errorWords(WORDS.en, error), errorWords(WORDS.de, error)]).toEqual([expect.stringMatching(/not known .*twice/), expect.stringMatching(/nicht bekannt.*doppelt/)])
    expect([captureErrorWords(CAPTURE_WORDS.en, error), captureErrorWords(CAPTURE_WORDS.de, error)]).toEqual([expect.stringMatching(/not known/), expect.stringMatching(/nicht bekannt/)])
  })

  test('what writes nothing says that it failed, and nothing about what was written', async () => {
    for (const call of [() => preview('secret', review), () => checkPhoto('secret', photo)]) {
      jest.spyOn(globalThis, 'fetch').mockImplementation(answer)
      const error = await call().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(ApiError)
      const words = [errorWords(WORDS.en, error), errorWords(WORDS.de, error), captureErrorWords(CAPTURE_WORDS.en, error), captureErrorWords(CAPTURE_WORDS.de, error)]
      expect(words.join(' ')).not.toMatch(/nothing was|nichts g/i)
    }
  })
})

describe('a signature whose answer was lost is looked for in the record', () => {
  const answers = (...all: readonly ({ there: number; of: number; isUnderWay?: true } | string)[]) => {
    const waits: number[] = []
    const look = () => { const one = all[waits.length - 1]; return typeof one === 'object' ? Promise.resolve(one) : Promise.reject(new ApiError(one ?? 'offline', '')) }
    return { waits, found: lookedFor(look, (ms) => { waits.push(ms); return Promise.resolve() }) }
  }

  test.each([
    ['that is there at once', [{ there: 3, of: 3 }], { there: 3, of: 3 }, 1],
    ['that the record shows late', [{ there: 0, of: 3 }, 'offline', { there: 3, of: 3 }], { there: 3, of: 3 }, 3],
    ['of which a part is there', [{ there: 1, of: 3 }, { there: 2, of: 3 }, 'ERR_EHR_UNREACHABLE', 'offline'], { there: 2, of: 3 }, 4],
    ['that never came', [{ there: 0, of: 3 }, { there: 0, of: 3 }, { there: 0, of: 3 }, { there: 0, of: 3 }], { there: 0, of: 3 }, 4],
    ['where someone signed something else meanwhile', [{ there: 1, of: 3 }, 'ERR_CONFLICT'], undefined, 2],
    ['that is still being written at the fifth look', [...Array.from({ length: 5 }, () => ({ there: 0, of: 3, isUnderWay: true } as const)), { there: 3, of: 3 }], { there: 3, of: 3 }, 6],
    ['where nobody can be asked', ['offline', 'offline', 'ERR_INTERNAL', 'offline'], undefined, 4]
  ] as const)('one %s', async (_name, all, expected, looks) => {
    const { waits, found } = answers(...all)
    expect([await found, waits.length]).toEqual([expected, looks])
    expect(waits.reduce((sum, ms) => sum + ms, 0)).toBeLessThanOrEqual(20_000)
  })

  test.each(['ERR_SESSION', 'ERR_FORBIDDEN'])('and not any more after %s', async (code) => {
    const { waits, found } = answers(code)
    await expect(found).rejects.toMatchObject({ code })
    expect(waits).toHaveLength(1)
  })

  test('and what the page says of it claims no more than was seen', () => {
    for (const w of [WORDS.en, WORDS.de]) {
      expect(w.notFound(0, 3)).toMatch(/(not show|nicht zu sehen).*(twice|doppelt)/)
      expect(w.notFound(1, 3)).toMatch(/1 (of|von) 3.*(twice|doppelt)/)
      expect(w.foundWritten(3)).toMatch(/3 (entries|Einträge)/)
    }
  })
})

test.each([['our server', ours('ERR_SESSION', 401), 1], ['a proxy', new Response('<html>401</html>', { status: 401 }), 0], ['a proxy in JSON', Response.json({ message: 'Unauthorized' }, { status: 401 }), 0]] as const)(
  'a session is over when our server says so, and not for any 401: %s', async (_name, response, times) => {
    const ended = jest.fn()
    window.addEventListener(SESSION_ENDED, ended)
    jest.spyOn(globalThis, 'fetch').mockResolvedValue(response)
    await preview('secret', review).catch(() => undefined)
    expect(ended).toHaveBeenCalledTimes(times)
    window.removeEventListener(SESSION_ENDED, ended)
  })

test('what our server refused to write keeps its code', async () => {
  for (const write of [signs, saves]) {
    jest.spyOn(globalThis, 'fetch').mockResolvedValue(ours('ERR_FORBIDDEN'))
    await expect(write()).rejects.toMatchObject({ code: 'ERR_FORBIDDEN', message: 'in English' })
  }
})

test('an error of the page itself claims nothing about the record', () => {
  const words = [errorWords(WORDS.en, new TypeError('x')), errorWords(WORDS.de, new TypeError('x')), captureErrorWords(CAPTURE_WORDS.en, new TypeError('x')), captureErrorWords(CAPTURE_WORDS.de, new TypeError('x'))]
  expect(words.join(' ')).not.toMatch(/nothing was|nichts g/i)
})
