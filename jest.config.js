import { fileURLToPath } from 'node:url'

// Every process of the tests reads the same code: kept compiled, its types stripped, the product starts in two thirds of the computing.
process.env.NODE_COMPILE_CACHE ??= fileURLToPath(new URL('.cache/compiled', import.meta.url))
// What Jest gives the tests as `process.env` is a copy, which the runtime of the networks does not see (src/inference/no-telemetry.ts).
process.env.ORT_DISABLE_TELEMETRY = '1'

export default {
  testEnvironment: './test/node-environment.js',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts', '.tsx'],
  transform: {
    '^.+\\.tsx?$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript', tsx: false }, target: 'es2023' }, module: { type: 'es6' } }
    ]
  },
  maxWorkers: 2,
  workerIdleMemoryLimit: '1GB',
  testTimeout: 60_000
}
