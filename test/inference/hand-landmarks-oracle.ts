import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runInThisContext } from 'node:vm'

/**
 * Google's LiteRT running a .tflite file, as a process of its own: `node hand-landmarks-oracle.ts MODEL SIDE INPUT`, float32
 * input of 1 x SIDE x SIDE x 3 in a file, JSON list of outputs on stdout. LiteRT's package is made for browsers and loads its
 * WebAssembly with importScripts; these few globals are all it needs.
 */
const [model, side, input] = process.argv.slice(2)
if (!model || !side || !input) throw new Error('Expected MODEL SIDE INPUT')
const require = createRequire(import.meta.url)
const wasm = `${dirname(require.resolve('@litertjs/core/package.json'))}/wasm/`
Object.assign(globalThis, {
  self: globalThis,
  require,
  __filename: fileURLToPath(import.meta.url),
  __dirname: dirname(fileURLToPath(import.meta.url)),
  importScripts(url: string) {
    const filename = url.startsWith('file:') ? fileURLToPath(url) : url
    Object.assign(globalThis, { __filename: filename, __dirname: dirname(filename) })
    runInThisContext(`${readFileSync(filename, 'utf8')}\n;globalThis.ModuleFactory = ModuleFactory;`, { filename })
  }
})
// Its log goes to stdout, which is ours.
console.log = console.info = () => undefined

const { loadLiteRt, loadAndCompile, Tensor } = await import('@litertjs/core')
await loadLiteRt(wasm)
const compiled = await loadAndCompile(new Uint8Array(readFileSync(model)), { accelerator: 'wasm' })
const values = new Float32Array(new Uint8Array(readFileSync(input)).buffer)
const outputs = await compiled.run([new Tensor(values, [1, Number(side), Number(side), 3])])
const numbers = outputs.map((output) => Array.from(output.toTypedArray()))
process.stdout.write(JSON.stringify(numbers), () => process.exit(0))
