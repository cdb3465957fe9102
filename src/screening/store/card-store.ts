import { ScreeningError } from '../../errors.ts'
import { openCardFiles } from './card-files.ts'
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
  /**
   * Known to `get` from the call on. Resolves once a process that is killed would still know it: it is stored, or, where the
   * store has one owner, in a file beside it, and stored soon. Throws ERR_STORE.
   */
  put(record: CardRecord): Promise<void>
  get(tenant: string, uuid: string): Promise<CardRecord | undefined>
  /** Resolves once every card up to now is stored, for statements that look for it there. Throws ERR_STORE. */
  stored(): Promise<void>
  close(): Promise<void>
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

/** Cards gather so long before they are stored together: a statement for each would cost more than all else that a hook does. */
const GATHER_MS = 250
const GATHERED = 200
const AGAIN_MS = 5_000

/** `failed` hears of every try to store gathered cards that did not work; they stay in their file and are tried again. */
export function openCardStore(store: Store, failed: (error: unknown) => void = () => undefined): CardStore {
  const underWay = new Map<string, CardRecord>()
  const forget = (cards: readonly CardRecord[]) => { for (const { tenant, uuid } of cards) underWay.delete(nameOf(tenant, uuid)) }
  const { folder } = store
  const { write, ...writer } = store.kind === 'embedded' && folder !== undefined ? openGatheringWriter(store, folder, forget, failed) : openDirectWriter(store, forget)
  return {
    ...writer,
    put(card) {
      underWay.set(nameOf(card.tenant, card.uuid), card)
      return write(card)
    },

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

interface CardWriter extends Pick<CardStore, 'stored' | 'close'> {
  write(card: CardRecord): Promise<void>
}
type Forget = (cards: readonly CardRecord[]) => void

/** Several processes share the store: what one has sent the others must find there. */
function openDirectWriter(store: Store, forget: Forget): CardWriter {
  const open = new Set<Promise<void>>()
  const insert = inBatches(async (cards: readonly CardRecord[]): Promise<readonly undefined[]> => {
    await insertCards(store, cards).finally(() => { forget(cards) })
    return cards.map(() => undefined)
  })
  const stored = async () => { await Promise.all(open) }
  return {
    write(card) {
      const written: Promise<void> = insert(card).finally(() => open.delete(written))
      open.add(written)
      return written
    },
    stored,
    close: () => stored().catch(() => undefined)
  }
}

/** One process owns the store: a card is kept in a file before its answer goes out, and many are stored together, at the latest by the next start. */
function openGatheringWriter(store: Store, folder: string, forget: Forget, failed: (error: unknown) => void): CardWriter {
  const files = openCardFiles<CardRecord>(folder)
  let gathered: CardRecord[] = [...files.left]
  let over = [files.turn()]
  let timer: NodeJS.Timeout | undefined
  let storing: Promise<void> = gathered.length > 0 ? Promise.resolve().then(storeGathered) : Promise.resolve()
  storing.catch(() => undefined)

  function storeSoon(after: number): void {
    timer ??= setTimeout(() => void stored().catch(() => undefined), after).unref()
  }

  async function storeGathered(): Promise<void> {
    const [cards, finished] = [gathered, [...over, files.turn()]]
    gathered = []
    over = []
    try {
      if (cards.length > 0) await insertCards(store, cards)
    } catch (error) {
      gathered = [...cards, ...gathered]
      over = [...finished, ...over]
      storeSoon(AGAIN_MS)
      failed(error)
      throw error
    }
    forget(cards)
    for (const one of finished) one.forget()
  }

  /** One statement after the other: what gathers meanwhile goes in the next. */
  function stored(): Promise<void> {
    clearTimeout(timer)
    timer = undefined
    storing = storing.catch(() => undefined).then(storeGathered)
    return storing
  }

  return {
    async write(card) {
      gathered.push(card)
      if (gathered.length === GATHERED) void stored().catch(() => undefined)
      else storeSoon(GATHER_MS)
      await files.keep(card).catch((cause: unknown) => { throw new ScreeningError('ERR_STORE', 'Expected to keep a card but its file cannot be written', { cause }) })
    },
    stored,
    async close() {
      await stored().catch(() => undefined)
      clearTimeout(timer)
      files.close()
    }
  }
}

/** One JSON parameter: an array of JSON values is not the same to both databases. */
async function insertCards(store: Store, cards: readonly CardRecord[]): Promise<void> {
  await store.query(
    `insert into card (tenant, uuid, service_id, patient_id, screening_id, model_digest, suggestions, created_at)
     select tenant, uuid, "serviceId", "patientId", "screeningId", "modelDigest", suggestions, "createdAt"
     from jsonb_to_recordset($1::jsonb) as card (tenant text, uuid text, "serviceId" text, "patientId" text, "screeningId" text,
       "modelDigest" text, suggestions jsonb, "createdAt" timestamptz) on conflict do nothing`, [JSON.stringify(cards)])
}

function nameOf(tenant: string, uuid: string): string {
  return JSON.stringify([tenant, uuid])
}
