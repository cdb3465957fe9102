import { readFile } from 'node:fs/promises'
import vm from 'node:vm'
import { TestEnvironment } from 'jest-environment-node'

// onnxruntime-node's native addon knows the outer realm's typed arrays, not the sandbox's (jestjs/jest#11864).
const shared = [
  'ArrayBuffer', 'SharedArrayBuffer', 'Float32Array', 'Float64Array', 'Int8Array', 'Int16Array', 'Int32Array',
  'Uint8Array', 'Uint16Array', 'Uint32Array', 'Uint8ClampedArray', 'BigInt64Array', 'BigUint64Array'
]

/** As long as this process holds it, each store that a test opens finds the database's machine code made: half of the computing. */
let database

export default class extends TestEnvironment {
  constructor(...given) {
    // Jest's own context asks a proxy for every global that code names, `Math` too: 5 to 15 % of a file's computing.
    const { createContext } = vm
    vm.createContext = () => createContext(vm.constants.DONT_CONTEXTIFY)
    try {
      super(...given)
    } finally {
      vm.createContext = createContext
    }
  }

  async setup() {
    await super.setup()
    for (const name of shared) this.global[name] = globalThis[name]
    database ??= readFile(new URL('pglite.wasm', import.meta.resolve('@electric-sql/pglite'))).then((bytes) => WebAssembly.compile(bytes))
    await database
  }
}
