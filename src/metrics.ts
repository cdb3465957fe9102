import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { InferenceEngine } from './inference/engine/inference-engine.ts'
import type { FeedbackRate } from './screening/store/feedback-store.ts'

/** Counts and durations only: no patient, no tenant, no token ever becomes a label. */
export interface Metrics {
  readonly registry: Registry
  request(route: string, status: number, seconds: number): void
  /** The same engine; each photo it reads is counted. */
  counting(engine: InferenceEngine): InferenceEngine
}

export interface MetricSources {
  /** Screenings by state of their job. */
  jobs(): Promise<Readonly<Record<string, number>>>
  /** What clinicians did with our cards, over all tenants. */
  feedback(): Promise<readonly FeedbackRate[]>
}

export function openMetrics(sources: MetricSources): Metrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({ name: 'jointlens_http_requests_total', help: 'Answers by route and status', labelNames: ['route', 'status'], registers })
  const seconds = new Histogram({
    name: 'jointlens_http_request_seconds', help: 'Time to answer by route', labelNames: ['route'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2], registers
  })
  const photos = new Histogram({
    name: 'jointlens_photo_read_seconds', help: 'Time to read a photo, waiting included, by outcome: hands, none (no hand that can be used) or failed',
    labelNames: ['outcome'], buckets: [0.1, 0.25, 0.5, 1, 2, 5, 10, 30], registers
  })
  new Gauge({
    name: 'jointlens_screenings', help: 'Screenings by state', labelNames: ['state'], registers,
    async collect() {
      this.reset()
      for (const [state, count] of Object.entries(await sources.jobs())) this.set({ state }, count)
    }
  })
  new Gauge({
    name: 'jointlens_card_feedback', help: 'Cards by what clinicians did with them', labelNames: ['service', 'model', 'outcome'], registers,
    async collect() {
      this.reset()
      for (const { serviceId: service, modelDigest = 'none', accepted, overridden } of await sources.feedback()) {
        this.inc({ service, model: modelDigest, outcome: 'accepted' }, accepted)
        this.inc({ service, model: modelDigest, outcome: 'overridden' }, overridden)
      }
    }
  })
  return {
    registry,
    request(route, status, duration) {
      requests.inc({ route, status: String(status) })
      seconds.observe({ route }, duration)
    },
    counting(engine) {
      new Gauge({
        name: 'jointlens_inference_queued', help: 'Photos waiting for an inference worker', registers,
        collect() {
          this.set(engine.health().queued)
        }
      })
      new Gauge({ name: 'jointlens_model_info', help: 'The model that reads', labelNames: ['name', 'version', 'digest'], registers }).set({ ...engine.model }, 1)
      return {
        ...engine,
        async assess(...call) {
          const end = photos.startTimer()
          let outcome = 'failed'
          try {
            const assessment = await engine.assess(...call)
            outcome = assessment.refusal === undefined ? 'hands' : 'none'
            return assessment
          } finally {
            end({ outcome })
          }
        }
      }
    }
  }
}
