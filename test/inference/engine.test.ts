import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import sharp from 'sharp'
import type { InferenceEngine } from '../../src/inference/engine/inference-engine.ts'
import { openEngine } from '../../src/inference/engine/open-engine.ts'
import { writeTestBundle } from '../support/test-bundle.ts'

const photo = await readFile(join(import.meta.dirname, '../../demo/photos/demo-1-left.jpg'))
const tiny = await sharp(photo).resize(64).jpeg().toBuffer()
/** Twelve megapixels of noise without a hand: the locator looks everywhere. */
const slow = await sharp({ create: { width: 4000, height: 3000, channels: 3, background: '#888', noise: { type: 'gaussian', mean: 128, sigma: 30 } } }).jpeg().toBuffer()

let base: string
let modelDir: string
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), 'engine-'))
  modelDir = join(base, 'model')
  await writeTestBundle(modelDir)
})
afterAll(async () => { await rm(base, { recursive: true, force: true }) })

const codeOf = (work: Promise<unknown>) => work.then(() => 'answered', (error: unknown) => (error as { code?: string }).code ?? String(error))

async function withEngine<T>(options: Partial<Parameters<typeof openEngine>[0]>, work: (engine: InferenceEngine) => Promise<T>): Promise<T> {
  const engine = await openEngine({ modelDir, workers: 1, ...options })
  try {
    return await work(engine)
  } finally {
    await engine.close()
  }
}

/** The workers of this test's own process (Linux). */
async function childProcesses(): Promise<number[]> {
  return (await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')).trim().split(' ').filter(Boolean).map(Number)
}

async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

describe('an engine that nothing happens to', () => {
  let engine: InferenceEngine
  beforeAll(async () => { engine = await openEngine({ modelDir, workers: 1 }) })
  afterAll(() => engine.close())

  test('leaves the photo of the caller as it was, a window on a larger buffer too', async () => {
    const large = Buffer.concat([Buffer.alloc(1000), photo, Buffer.alloc(1000)])
    const window = large.subarray(1000, 1000 + photo.length)
    expect((await engine.assess(window)).hands).toHaveLength(1)
    expect(window.equals(photo)).toBe(true)
  })

  test('refuses what is no photo before a worker sees it', async () => {
    expect(await codeOf(engine.assess(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')))).toBe('ERR_PHOTO_FORMAT')
    expect(await codeOf(engine.renderPhoto(Buffer.alloc(0), { maxSidePx: 10 }))).toBe('ERR_PHOTO_CORRUPT')
  })

  test('answers a photo that breaks in the decoder with its code and reads the next', async () => {
    const broken = await sharp(photo).resize(200).png().toBuffer()
    broken.fill(7, broken.length >> 1, (broken.length >> 1) + 500)
    expect(await codeOf(engine.assess(broken))).toBe('ERR_PHOTO_CORRUPT')
    expect((await engine.assess(photo)).hands).toHaveLength(1)
  })

  test('keeps keys of the service away from its workers', async () => {
    const [pid] = await childProcesses()
    const names = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').map((one) => one.split('=')[0])
    expect(names).toContain('PATH')
    expect(names).not.toContain('NODE_ENV')
  })
})

describe('the inference engine', () => {
  test('reads photos in several processes and is the engine of its model', () => withEngine({ workers: 2 }, async (engine) => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => engine.assess(photo)))
    for (const answer of answers) {
      expect(answer.hands[0]?.joints.every(({ kind }) => kind === 'assessed')).toBe(true)
      expect(answer.model).toEqual(engine.model)
      expect(answer.hands).toEqual(answers[0]?.hands)
    }
    expect(engine.health()).toEqual({ ready: true, model: engine.model, executionProvider: 'cpu', queued: 0 })
  }))

  test('takes as many photos as its queue holds and then says it is busy', () => withEngine({ maxQueue: 1 }, async (engine) => {
    const taken = [engine.assess(slow), engine.assess(photo)]
    expect(await codeOf(engine.assess(photo))).toBe('ERR_ENGINE_BUSY')
    expect(engine.health().queued).toBe(1)
    const [, second] = await Promise.all(taken)
    expect(second?.hands).toHaveLength(1)
    expect(engine.health().queued).toBe(0)
    expect((await engine.assess(photo)).hands).toHaveLength(1)
  }))

  test('lets a caller give up, while the photo waits or is being read, and reads the next', () => withEngine({ maxQueue: 1 }, async (engine) => {
    const reason = new Error('the card was closed')
    const controllers = [new AbortController(), new AbortController()]
    const given = [engine.assess(slow, { signal: controllers[0]!.signal }), engine.assess(photo, { signal: controllers[1]!.signal })].map((one) => one.catch((error: unknown) => error))
    await new Promise((resolve) => setTimeout(resolve, 50))
    controllers[1]!.abort(reason)
    expect(await given[1]).toBe(reason)
    expect(engine.health().queued).toBe(0)
    controllers[0]!.abort(reason)
    expect(await given[0]).toBe(reason)
    expect(await engine.assess(photo, { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error)).toBe(reason)
    expect((await engine.assess(photo)).hands).toHaveLength(1)
  }))

  test('kills the worker of a photo that takes too long, not that of one that waited, and goes on', async () => {
    const photoTimeoutMs = await withEngine({}, async (engine) => {
      await engine.renderPhoto(tiny, { maxSidePx: 32 })
      const quick = await milliseconds(() => engine.renderPhoto(tiny, { maxSidePx: 32 }))
      const long = await milliseconds(() => engine.assess(slow))
      return Math.max(2, Math.round(Math.sqrt(quick * long)))
    })
    await withEngine({ photoTimeoutMs, maxQueue: 8 }, async (engine) => {
      const waiting = engine.assess(slow)
      const behind = Array.from({ length: 3 }, () => engine.renderPhoto(tiny, { maxSidePx: 32 }))
      expect(await codeOf(waiting)).toBe('ERR_PHOTO_TIMEOUT')
      for (const picture of await Promise.all(behind)) expect(picture.length).toBeGreaterThan(100)
      expect(engine.health()).toMatchObject({ ready: true, queued: 0 })
    })
  })

  test('gives no finding from a model that was replaced under it', async () => {
    const dir = join(base, 'replaced')
    await writeTestBundle(dir)
    await withEngine({ modelDir: dir, photoTimeoutMs: 1 }, async (engine) => {
      await writeTestBundle(dir, { change: (manifest) => { manifest.version = '0.0.2' } })
      expect(await codeOf(engine.assess(slow))).toBe('ERR_PHOTO_TIMEOUT')
      expect(await codeOf(engine.assess(photo))).toBe('ERR_MODEL_INVALID')
      expect(engine.health().ready).toBe(false)
    })
  })

  test('answers photos that are still being read when it closes, and then refuses', async () => {
    const engine = await openEngine({ modelDir, workers: 1 })
    const open = [engine.assess(slow), engine.assess(photo)].map(codeOf)
    await engine.close()
    expect(await Promise.all(open)).toEqual(['ERR_NOT_READY', 'ERR_NOT_READY'])
    expect(await codeOf(engine.assess(photo))).toBe('ERR_NOT_READY')
    expect(engine.health().ready).toBe(false)
    await engine.close()
  })

  test('survives the crash of a decoder, and says which process it was: that photo is refused, the next is read', async () => {
    const ends: unknown[] = []
    await withEngine({ workerEnded: (end) => ends.push(end) }, async (engine) => {
      const [first] = await childProcesses()
      const open = codeOf(engine.assess(slow))
      await new Promise((resolve) => setTimeout(resolve, 50))
      process.kill(first!, 'SIGSEGV')
      expect(await open).toBe('ERR_PHOTO_CORRUPT')
      expect((await engine.assess(photo)).hands).toHaveLength(1)
      expect(engine.health().ready).toBe(true)
      const [second] = await childProcesses()
      process.kill(second!, 'SIGABRT')
      while (ends.length < 2) await new Promise((resolve) => setTimeout(resolve, 20))
      expect(ends).toEqual([{ processId: first, how: 'SIGSEGV', during: 'a photo' }, { processId: second, how: 'SIGABRT', during: 'idleness' }])
    })
    expect(ends).toHaveLength(2)
  })

  test('leaves nothing running: a program that closes it ends by itself, also while a worker opens in the place of one that died', () => {
    const program = `
      import { once } from 'node:events'
      import { ChildProcess } from 'node:child_process'
      import { openEngine } from ${JSON.stringify(new URL('../../src/inference/engine/open-engine.ts', import.meta.url).href)}
      import { readFileSync } from 'node:fs'
      const engine = await openEngine({ modelDir: ${JSON.stringify(modelDir)}, workers: 2 })
      const { hands } = await engine.assess(readFileSync('demo/photos/demo-1-left.jpg'))
      const [died] = process._getActiveHandles().filter((one) => one instanceof ChildProcess)
      died.kill('SIGKILL')
      await once(died, 'exit')
      await engine.close()
      console.log(hands.length)`
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { cwd: join(import.meta.dirname, '../..'), encoding: 'utf8', timeout: 50_000 })
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '1\n', stderr: '' })
  })
})

describe('an engine is not opened', () => {
  test('with a bundle of which one bit is flipped', async () => {
    const dir = join(base, 'tampered')
    await writeTestBundle(dir)
    const onnx = await readFile(join(dir, 'model.onnx'))
    onnx.writeUInt8(onnx.readUInt8(500) ^ 1, 500)
    await writeFile(join(dir, 'model.onnx'), onnx)
    expect(await codeOf(openEngine({ modelDir: dir, workers: 1 }))).toBe('ERR_MODEL_INVALID')
  })

  test('with a model that does not give its golden outputs, found by its workers', async () => {
    const dir = join(base, 'golden')
    await writeTestBundle(dir, { change: ({ golden }) => { (golden.logits[0] as number[])[3] = 9 } })
    expect(await codeOf(openEngine({ modelDir: dir, workers: 2 }))).toBe('ERR_MODEL_INVALID')
  })

  test('with a model of other landmarks, without a model, or with senseless limits', async () => {
    const dir = join(base, 'landmarks')
    await writeTestBundle(dir, { change: ({ landmarks }) => { landmarks.digest = '0'.repeat(64) } })
    expect(await codeOf(openEngine({ modelDir: dir, workers: 1 }))).toBe('ERR_MODEL_INVALID')
    expect(await codeOf(openEngine({ modelDir: join(base, 'nowhere') }))).toBe('ERR_MODEL_INVALID')
    expect(await codeOf(openEngine({ modelDir, workers: 0 }))).toBe('ERR_CONFIG')
    expect(await codeOf(openEngine({ modelDir, photoTimeoutMs: NaN }))).toBe('ERR_CONFIG')
  })
})
