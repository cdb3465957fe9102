import type { HandJoint, Laterality } from '../../joints/hand-joint.ts'
import type { Store } from './open-store.ts'

/** What a clinician did with a card, as the EHR reports it. */
export interface FeedbackEntry {
  readonly tenant: string
  readonly serviceId: string
  readonly cardUuid: string
  readonly outcome: 'accepted' | 'overridden'
  /** uuids of accepted suggestions. */
  readonly acceptedSuggestions: readonly string[]
  readonly overrideReason?: { readonly code?: string; readonly system?: string; readonly display?: string }
  readonly userComment?: string
  /** ISO 8601 with zone. */
  readonly outcomeTimestamp: string
}

export interface FeedbackRate {
  readonly serviceId: string
  readonly modelDigest?: string
  /** First day of the month, `2026-11-01`. */
  readonly month: string
  readonly accepted: number
  readonly overridden: number
  /** Count by reason code. */
  readonly reasons: Readonly<Record<string, number>>
}

/** Of the cards that called this joint swollen. A card is answered as a whole: this says where cards are trusted less, not which joint was wrong. */
export interface JointFeedbackRate {
  readonly side: Laterality
  readonly joint: HandJoint
  readonly modelDigest: string
  readonly accepted: number
  readonly overridden: number
}

export interface FeedbackStore {
  /** This event was recorded before. */
  knows(entry: FeedbackEntry): Promise<boolean>
  /**
   * The same event once; what a repetition adds (a reason, a comment, a suggestion) is kept with it. A result whose suggestion was
   * accepted, or whose card was set aside with a reason, knows it from then on.
   */
  record(entry: FeedbackEntry): Promise<void>
  /** Resolves once everything that was recorded is on the disk. Throws ERR_STORE. */
  kept(): Promise<void>
  /** Newest month first. */
  rates(tenant: string): Promise<readonly FeedbackRate[]>
  /** The most often set aside first. Only of cards whose screening is still kept. */
  jointRates(tenant: string): Promise<readonly JointFeedbackRate[]>
}

interface JointRow extends Readonly<Record<string, unknown>> {
  readonly side: Laterality
  readonly joint: HandJoint
  readonly digest: string
  readonly accepted: number
  readonly overridden: number
}

interface CountRow extends Readonly<Record<string, unknown>> {
  readonly service_id: string
  readonly model_digest: string | null
  readonly month: string
  readonly outcome: string
  readonly reason: string | null
  readonly count: number
}

/** The earliest time counts, and none that is still to come: a client's clock may be wrong. */
const MARK_ACCEPTED = `with marked as (
  update screening set accepted_at = least(accepted_at, $4::timestamptz, now()) from card
  where card.tenant = $1 and card.uuid = $2 and jsonb_array_length(card.suggestions) > 0
    and screening.tenant = card.tenant and screening.id = card.screening_id::uuid)`

/** Set aside in the service that showed the card, whatever address the feedback came to; the newest time stands. */
const MARK_SET_ASIDE = `with marked as (
  update screening set set_aside = set_aside || jsonb_build_object(card.service_id,
    jsonb_strip_nulls(jsonb_build_object('at', least($4::timestamptz, now()), 'reason', $7::jsonb - 'display'))) from card
  where card.tenant = $1 and card.uuid = $2
    and screening.tenant = card.tenant and screening.id = card.screening_id::uuid
    and coalesce((set_aside -> card.service_id ->> 'at')::timestamptz, '-infinity') <= least($4::timestamptz, now()))`

export function openFeedbackStore(store: Store): FeedbackStore {
  return {
    async knows({ tenant, cardUuid, outcome, outcomeTimestamp }) {
      const rows = await store.query(
        'select 1 from feedback where tenant = $1 and card_uuid = $2 and outcome = $3 and outcome_at = $4', [tenant, cardUuid, outcome, outcomeTimestamp])
      return rows.length > 0
    },

    async record({ tenant, cardUuid, outcome, outcomeTimestamp, serviceId, acceptedSuggestions, overrideReason, userComment }) {
      const mark = outcome === 'accepted' ? MARK_ACCEPTED : overrideReason || userComment ? MARK_SET_ASIDE : ''
      await store.query(
        `${mark} insert into feedback (tenant, card_uuid, outcome, outcome_at, service_id, accepted, override_reason, user_comment)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (tenant, card_uuid, outcome, outcome_at) do update set
           accepted = (select coalesce(jsonb_agg(distinct id), '[]') from jsonb_array_elements(feedback.accepted || excluded.accepted) as id),
           override_reason = coalesce(feedback.override_reason, excluded.override_reason),
           user_comment = coalesce(feedback.user_comment, excluded.user_comment)`,
        [tenant, cardUuid, outcome, outcomeTimestamp, serviceId, JSON.stringify(acceptedSuggestions),
          overrideReason ? JSON.stringify(overrideReason) : null, userComment ?? null])
    },

    kept: () => store.flush(),

    async rates(tenant) {
      const rows = await store.query<CountRow>(
        `select f.service_id, c.model_digest, to_char(date_trunc('month', f.outcome_at at time zone 'UTC'), 'YYYY-MM-DD') as month,
                f.outcome, f.override_reason ->> 'code' as reason, count(*)::int as count
         from feedback f left join card c on c.tenant = f.tenant and c.uuid = f.card_uuid
         where f.tenant = $1 group by 1, 2, 3, 4, 5 order by 3 desc, 1`, [tenant])
      const groups = Map.groupBy(rows, (row) => JSON.stringify([row.service_id, row.model_digest, row.month]))
      return [...groups.values()].map(rateOf)
    },

    async jointRates(tenant) {
      const rows = await store.query<JointRow>(
        `select finding ->> 'side' as side, finding ->> 'joint' as joint, c.model_digest as digest,
                (count(*) filter (where f.outcome = 'accepted'))::int as accepted, (count(*) filter (where f.outcome = 'overridden'))::int as overridden
         from feedback f
         join card c on c.tenant = f.tenant and c.uuid = f.card_uuid
         join screening s on s.tenant = c.tenant and s.id::text = c.screening_id
         cross join lateral jsonb_array_elements(s.data -> 'findings') finding
         where f.tenant = $1 and (finding ->> 'inflamed')::boolean
         group by 1, 2, 3 order by overridden desc, accepted desc, 1, 2`, [tenant])
      return rows.map(({ digest: modelDigest, ...rest }) => ({ ...rest, modelDigest }))
    }
  }
}

function rateOf(rows: readonly CountRow[]): FeedbackRate {
  const sum = (outcome: string) => rows.filter((row) => row.outcome === outcome).reduce((total, { count }) => total + count, 0)
  const [first] = rows
  return {
    serviceId: first?.service_id ?? '',
    ...(first?.model_digest ? { modelDigest: first.model_digest } : {}),
    month: first?.month ?? '',
    accepted: sum('accepted'),
    overridden: sum('overridden'),
    reasons: reasonsIn(rows)
  }
}

/** One code may stand beside both outcomes. */
function reasonsIn(rows: readonly CountRow[]): Readonly<Record<string, number>> {
  const counted = new Map<string, number>()
  for (const { reason, count } of rows) if (reason) counted.set(reason, (counted.get(reason) ?? 0) + count)
  return Object.fromEntries(counted)
}
