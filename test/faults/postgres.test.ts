import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { openStore } from '../../src/screening/store/open-store.ts'
import { checkHistory } from './check-history.ts'
import type { CallerEvent } from './history.ts'
import { postgresPrograms, startPostgres, type PrivatePostgres } from './postgres.ts'
import { exportLedger, TENANT } from './product.ts'
import { addAppointments, jointlens, NIGHT, siteEnvironment } from './site.ts'
import { startWitness } from './witness/witness.ts'

const bin = postgresPrograms()
const why = !bin ? 'no PostgreSQL server on this machine' : process.env['SWEEP'] === 'full' ? undefined : 'only with SWEEP=full'
const PATIENTS = 12

const describeHere = why ? describe.skip : describe
describeHere(`two workers and one server on one PostgreSQL${why ? ` (skipped: ${why})` : ''}`, () => {
  let postgres: PrivatePostgres
  beforeAll(async () => { postgres = await startPostgres(bin ?? '') }, 60_000)
  afterAll(() => postgres.close())

  test.each([['GET', '/Observation', 'before it writes'], ['POST', '/', 'while it writes']])(
    'share one night\'s list; one is stopped at its first %s %s, %s, and is fenced off when it wakes', async (method, path) => {
      const dir = await mkdtemp(join(tmpdir(), 'jointlens-night-'))
      const witness = await startWitness({ profile: 'transaction' })
      const patients = addAppointments(witness, PATIENTS)
      const database = `${postgres.url.slice(0, postgres.url.lastIndexOf('/'))}/${method.toLowerCase()}`
      const admin = await openStore({ databaseUrl: postgres.url })
      await admin.query(`create database ${method.toLowerCase()}`)
      await admin.close()
      const env = await siteEnvironment(witness, dir, { DATABASE_URL: database })
      const store = await openStore({ databaseUrl: database })
      const server = jointlens(['serve'], env)
      const first = jointlens(['work'], env)
      await Promise.all([server.ready, first.ready])
      let stopped = false
      witness.onRequest = (seen, where) => {
        if (stopped || seen !== method || where !== path) return
        stopped = true
        first.child.kill('SIGSTOP')
      }
      await store.query("insert into job (id, tenant, patient_id, reason, priority, state) values (gen_random_uuid(), $1, 'night-1', 'hook', 1, 'accepted')", [TENANT])
      while (!stopped) await new Promise((resolve) => setTimeout(resolve, 50))
      const second = jointlens(['work'], env)
      const night = jointlens(['previsit', '--date', NIGHT, '--tenant', TENANT], env)
      expect((await night.ended).code).toBe(0)
      first.child.kill('SIGCONT')
      await new Promise((resolve) => setTimeout(resolve, 3_000))
      for (const { child } of [first, second, server]) child.kill('SIGTERM')
      expect((await Promise.all([first, second, server].map(({ ended }) => ended))).map(({ code }) => code)).toEqual([0, 0, 0])

      const callers = patients.map((patientId): CallerEvent => ({ ms: 0, kind: 'accepted', tenant: TENANT, patientId }))
      const violations = checkHistory({
        events: witness.events, callers, ledger: await exportLedger(store), final: witness.finalState(),
        expectation: { observationsPerScreening: 23, mustBeWritten: patients.map((one) => `${TENANT}/${one}`), recoveryMs: 10_000, maxRequests: 60 * PATIENTS }
      })
      expect(violations).toEqual([])
      const owners = await store.query<{ sets: number }>("select count(*)::int as sets from screening where state = 'done'")
      expect(owners[0]?.sets).toBe(PATIENTS)
      await store.close()
      await witness.close()
      await rm(dir, { recursive: true })
    }, 180_000)
})
