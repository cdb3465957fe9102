import { inBatches } from './in-batches.ts'
import type { Store } from './open-store.ts'

/** What a card that was sent was about, for its feedback. */
export interface CardRecord {
  readonly uuid: string
  readonly tenant: string
  readonly serviceId: string
  readonly patientId: string
  readonly screeningId?: string
  readonly modelDigest?: string
  readonly suggestions: readonly string[]
  /** ISO 8601. */
  readonly createdAt: string
}

export interface CardStore {
  /** Known to `get` from the call on; resolves once stored. Throws ERR_STORE. */
  put(record: CardRecord): Promise<void>
  /** Cards on their way into the store. */
  behind(): number
  get(tenant: string, uuid: string): Promise<CardRecord | undefined>
}

interface CardRow extends Readonly<Record<string, unknown>> {
  readonly uuid: string
  readonly tenant: string
  readonly service_id: string
  readonly patient_id: string
  readonly screening_id: string | null
  readonly model_digest: string | null
  readonly suggestions: readonly string[]
  readonly created_at: Date
}

export function openCardStore(store: Store): CardStore {
  const put = inBatches(async (cards: readonly CardRecord[]): Promise<readonly undefined[]> => {
    // One JSON parameter: an array of JSON values is not the same to both databases.
    await store.query(
      `insert into card (tenant, uuid, service_id, patient_id, screening_id, model_digest, suggestions, created_at)
       select tenant, uuid, "serviceId", "patientId", "screeningId", "modelDigest", suggestions, "createdAt"
       from jsonb_to_recordset($1::jsonb) as card (tenant text, uuid text, "serviceId" text, "patientId" text, "screeningId" text,
         "modelDigest" text, suggestions jsonb, "createdAt" timestamptz) on conflict do nothing`, [JSON.stringify(cards)])
    return cards.map(() => undefined)
  })
  const underWay = new Map<string, CardRecord>()
  return {
    async put(card) {
      underWay.set(nameOf(card.tenant, card.uuid), card)
      try {
        await put(card)
      } finally {
        underWay.delete(nameOf(card.tenant, card.uuid))
      }
    },
    behind: () => underWay.size,
    async get(tenant, uuid) {
      const known = underWay.get(nameOf(tenant, uuid))
      if (known) return known
      const [row] = await store.query<CardRow>('select * from card where tenant = $1 and uuid = $2', [tenant, uuid])
      return row && {
        uuid: row.uuid, tenant: row.tenant, serviceId: row.service_id, patientId: row.patient_id, suggestions: row.suggestions,
        createdAt: row.created_at.toISOString(),
        ...(row.screening_id ? { screeningId: row.screening_id } : {}),
        ...(row.model_digest ? { modelDigest: row.model_digest } : {})
      }
    }
  }
}

function nameOf(tenant: string, uuid: string): string {
  return JSON.stringify([tenant, uuid])
}
