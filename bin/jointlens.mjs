#!/usr/bin/env node
// Runs the command line on the Node that the lockfile pins (npm package `node`), whatever Node started this file.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const pinned = join(root, 'node_modules', 'node', 'bin', 'node')
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const recentEnough = major > 22 || (major === 22 && minor >= 19)
const node = existsSync(pinned) ? pinned : recentEnough ? process.execPath : undefined
if (!node) {
  console.error(`Expected Node 22.19 or later but this is ${process.versions.node}. Run "npm ci" in ${root} first.`)
  process.exit(2)
}
const cli = join(root, 'src', 'cli.ts')
const passedOn = new Set()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    passedOn.add(signal)
    child.kill(signal)
  })
const child = spawn(node, ['--disable-warning=ExperimentalWarning', cli, ...process.argv.slice(2)], { stdio: 'inherit' })
child.on('exit', (code, signal) => {
  if (signal && !passedOn.has(signal)) console.error(`JointLens (process ${child.pid}) was ended by ${signal}`)
  // As a shell says it, for whoever started us and for us.
  process.exit(signal ? 128 + constants.signals[signal] : code)
})
