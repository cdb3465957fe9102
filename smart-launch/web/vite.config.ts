import { gzipSync } from 'node:zlib'
import react from '@vitejs/plugin-react'
import { defineConfig, type Plugin } from 'vite'

/** All scripts of the app together, compressed: what a phone on a clinic's wireless network must fetch at most. */
const SCRIPT_BUDGET_BYTES = 150_000

export default defineConfig({
  root: import.meta.dirname,
  base: '/smart/',
  plugins: [react(), scriptBudget()],
  build: {
    outDir: 'dist', assetsDir: 'assets', emptyOutDir: true, modulePreload: { polyfill: false },
    // A page each: neither loads the other's script, and each begins with its own.
    rollupOptions: { input: { review: `${import.meta.dirname}/index.html`, capture: `${import.meta.dirname}/capture.html` } }
  }
})

/** A build over the budget fails. */
function scriptBudget(): Plugin {
  return {
    name: 'script-budget',
    generateBundle(_options, bundle) {
      const bytes = Object.values(bundle).reduce((sum, one) => sum + (one.type === 'chunk' ? gzipSync(one.code).length : 0), 0)
      if (bytes > SCRIPT_BUDGET_BYTES) this.error(`Expected at most ${SCRIPT_BUDGET_BYTES} bytes of compressed script but received ${bytes}`)
    }
  }
}
