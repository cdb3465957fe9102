import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { InferenceEngine } from './inference/engine/inference-engine.ts'

/** Counts and durations only: no patient, no tenant, no token ever becomes a label. */
export interface Metrics {
  readonly registry: Registry
  request(route: string, status: number, seconds: number): void
}

export function openMetrics(engine: InferenceEngine): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({ name: 'jointlens_http_requests_total', help: 'Answers by route and status', labelNames: ['route', 'status'], registers: [registry] })
  const seconds = new Histogram({
    name: 'jointlens_http_request_seconds', help: 'Time to answer by route', labelNames: ['route'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2], registers: [registry]
  })
  new Gauge({
    name: 'jointlens_inference_queued', help: 'Photos waiting for an inference worker', registers: [registry],
    collect() {
      this.set(engine.health().queued)
    }
  })
  return {
    registry,
    request(route, status, duration) {
      requests.inc({ route, status: String(status) })
      seconds.observe({ route }, duration)
    }
  }
}
