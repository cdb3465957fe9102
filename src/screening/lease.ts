import { ScreeningError } from '../errors.ts'
import type { Job, Queue } from './queue.ts'

/** What this process knows of its lease without asking: by its own monotonic clock, which also runs while it is stopped. */
export interface Lease {
  /** Asks the store, and takes it for another lease time. Throws ERR_LEASE_LOST. */
  hold(): Promise<void>
  /** Throws ERR_LEASE_LOST when it may have run out: a process that slept sends nothing when it wakes. */
  check(): void
}

/** `asked`: when the claim was sent, by performance.now(); the lease can only have begun later. */
export function openLease(queue: Queue, job: Job, asked: number): Lease {
  let until = asked + queue.leaseMs
  return {
    async hold() {
      const began = performance.now()
      await queue.hold(job)
      until = began + queue.leaseMs
    },
    check() {
      if (performance.now() > until)
        throw new ScreeningError('ERR_LEASE_LOST', 'Expected to hold this screening but its lease may have run out meanwhile')
    }
  }
}
