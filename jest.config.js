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
