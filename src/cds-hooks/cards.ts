import type { FhirResource } from 'fhir/r4.js'
import type { TenantConfig } from '../config.ts'
import { OWN_BASE } from '../fhir/codes.ts'
import { datePrecisionOf } from '../joints/date-precision.ts'
import { percentOf, type JointFinding } from '../joints/finding.ts'
import { HAND_JOINTS, LATERALITIES, type JointAt } from '../joints/hand-joint.ts'
import type { Screening, SetAside } from '../screening/screening.ts'
import { dayOf } from '../screening/visits.ts'
import { escaped, list, table } from './markdown.ts'
import { cardWith, SUMMARY_LIMIT, type Action, type Card, type CardBody, type Indicator, type OverrideReason, type Suggestion } from './protocol.ts'
import { dayIn, type Wording } from './wording.ts'

/** What every card of one answer shares. */
export interface CardContext {
  readonly tenant: TenantConfig
  readonly wording: Wording
  readonly publicUrl: string
  readonly now: number
  newId(): string
}

const OVERRIDE_SYSTEM = `${OWN_BASE}/CodeSystem/override-reason`
const TOPIC_SYSTEM = `${OWN_BASE}/CodeSystem/card-topic`

export interface ResultCardInput {
  readonly screening: Screening
  /** The visit before, for the change. */
  readonly before?: Screening
  /** What the suggestion would create; none where there is nothing to record. */
  readonly resources: readonly FhirResource[]
  /** What the record has that this is not of: a newer photo that is being read, or one that could not be read yet. */
  readonly newer: 'reading' | 'unread' | undefined
  /** The record takes no Observations; the card says so instead of offering to record. */
  readonly unwritable?: boolean
  /** It lies in the record. */
  readonly recorded?: boolean
  /** A clinician has set it aside in this service. */
  readonly setAside?: SetAside
  /** What the calibration was made from. */
  readonly calibration?: string
}

/** The newest stored result: count with denominator and interval, the joints, the change, what could not be assessed, one suggestion. */
export function resultCard(input: ResultCardInput, context: CardContext): Card {
  const suggestion = suggestionOf(input, context)
  return cardWith(saidOnce(input, context), context.newId(), suggestion)
}

const MINUTE_MS = 60_000
const said = new WeakMap<Screening, { readonly of: readonly unknown[]; readonly body: CardBody }>()

/** A card says days, never less: within a minute the same result in the same words is the same text. */
function saidOnce(input: ResultCardInput, context: CardContext): CardBody {
  const { screening, before, newer, unwritable, recorded, setAside, calibration } = input
  const { wording, tenant, now } = context
  const old = ageInDays(screening.photoTime, now) > tenant.currentPhotoDays
  const of = [before, newer, unwritable, recorded, setAside, calibration, wording, tenant, old, Math.floor(now / MINUTE_MS)]
  const known = said.get(screening)
  if (known && of.every((one, place) => one === known.of[place])) return known.body
  const body = bodyOf(screening.count.assessable === 0 ? unreadParts(screening, newer, context) : resultParts(input, old, context), context)
  said.set(screening, { of, body })
  return body
}

function resultParts(input: ResultCardInput, old: boolean, context: CardContext): CardParts {
  const { screening, setAside } = input
  const { wording, tenant, now } = context
  const { swollen, assessable, of, low, high } = screening.count
  const day = dayIn(wording, screening.photoTime, tenant.timeZone, now)
  const part = signedInPart(screening)
  const variants = screening.signed ? wording.signedSummary(day, swollen, assessable, low, high)
    : old ? wording.oldSummary(day, swollen, assessable, low, high)
      : part ? wording.partSummary(day, swollen, assessable, low, high, part.open.length)
        : setAside ? wording.setAsideSummary(day, swollen, assessable, low, high) : wording.summary(day, swollen, assessable, low, high, of - assessable)
  // What a clinician has looked at, and signed or set aside, draws no attention again; nor does the rest, once as many are signed as are swollen at least.
  const indicator = !old && !screening.signed && !setAside && low > (part?.signed.length ?? 0) ? 'warning' : 'info'
  return { summary: fitting(variants), detail: resultDetail(input, context), indicator, appContext: screening.id }
}

/** The photos are there, but no joint can be called from them: what to change, and nothing to record. */
function unreadParts(screening: Screening, newer: ResultCardInput['newer'], { wording, tenant, now }: CardContext): CardParts {
  const parts = [missingList(screening.findings, wording), newerWords(newer, wording), wording.retake, wording.research]
  return {
    summary: fitting(wording.unreadSummary(dayIn(wording, screening.photoTime, tenant.timeZone, now))),
    detail: paragraphs(parts), indicator: 'info', appContext: screening.id
  }
}

/** Accepted, not yet read: the hook never waits. */
export function pendingCard(context: CardContext): Card {
  const { wording } = context
  return card(context, { summary: fitting(wording.pendingSummary), detail: paragraphs([wording.pendingDetail, wording.research]), indicator: 'info', appContext: 'newest' })
}

/** The last attempt ended without a result; whose fault that was decides what the card asks for. */
export function failedCard(code: string, context: CardContext): Card {
  const { wording } = context
  const [summary, detail] = isUnreadable(code) ? [wording.failedSummary, [wording.failedDetail, wording.retake]]
    : code === 'ERR_PHOTO_UNDATED' ? [wording.undatedSummary, [wording.undatedDetail]] : [wording.waitingSummary, [wording.waitingDetail]]
  return card(context, { summary: fitting(summary), detail: paragraphs(detail), indicator: 'info', appContext: 'newest' })
}

/** The file itself is at fault, so another photo helps. */
const isUnreadable = (code: string) => ['ERR_PHOTO_FORMAT', 'ERR_PHOTO_HEIC', 'ERR_PHOTO_CORRUPT', 'ERR_PHOTO_TOO_LARGE', 'ERR_PHOTO_TIMEOUT'].includes(code)

const newerWords = (newer: ResultCardInput['newer'], wording: Wording) => newer === 'reading' ? wording.newer : newer === 'unread' ? wording.newerUnread : ''

/** Before a visit: no current photo, so ask for one. */
export function askForPhotoCard(newestPhoto: string | undefined, request: FhirResource, context: CardContext): Card {
  const { wording, tenant, now } = context
  const age = newestPhoto ? wording.last(dayIn(wording, newestPhoto, tenant.timeZone, now)) : wording.never
  return card(context, {
    summary: fitting(wording.askSummary(age)), detail: paragraphs([wording.retake]), indicator: 'info', appContext: 'newest',
    suggestion: { label: wording.askLabel, uuid: context.newId(), actions: [{ type: 'create', description: wording.askAction, resource: request }] }
  })
}

interface CardParts {
  readonly summary: string
  readonly detail: string
  readonly indicator: Indicator
  /** Reveals nothing: an id of ours, or `newest`. */
  readonly appContext: string
  readonly suggestion?: Suggestion
}

function card(context: CardContext, { suggestion, ...parts }: CardParts): Card {
  return cardWith(bodyOf(parts, context), context.newId(), suggestion)
}

function bodyOf({ summary, detail, indicator, appContext }: CardParts, { publicUrl, wording }: CardContext): CardBody {
  return {
    summary, detail, indicator,
    source: {
      label: 'JointLens (research)', url: `${publicUrl}/models/current`,
      topic: { system: TOPIC_SYSTEM, code: 'hand-joints', display: wording.topic }
    },
    overrideReasons: overrideReasons(wording),
    links: [{ label: wording.review, url: `${publicUrl}/smart/launch`, type: 'smart', appContext }]
  }
}

const reasonsIn = new Map<Wording, readonly OverrideReason[]>()

function overrideReasons(wording: Wording): readonly OverrideReason[] {
  const known = reasonsIn.get(wording) ?? Object.entries(wording.override).map(([code, display]) => ({ code, system: OVERRIDE_SYSTEM, display }))
  reasonsIn.set(wording, known)
  return known
}

/** One suggestion is one decision: the whole set, which the EHR applies as one. */
function suggestionOf({ resources, screening }: ResultCardInput, { wording, newId }: CardContext): Suggestion | undefined {
  if (resources.length === 0) return undefined
  const label = signedInPart(screening) ? wording.recordOpen : wording.record
  return { label: label(resources.length), uuid: newId(), actions: actionsOf(resources, wording) }
}

const keptActions = new WeakMap<readonly FhirResource[], Map<Wording, readonly Action[]>>()

/** The same resources in the same words are the same actions, so that their text is made once too. */
function actionsOf(resources: readonly FhirResource[], wording: Wording): readonly Action[] {
  const known = keptActions.get(resources) ?? new Map<Wording, readonly Action[]>()
  keptActions.set(resources, known)
  const describe = (resource: FhirResource) => {
    if (resource.resourceType !== 'Observation') return wording.action[resource.resourceType as 'DiagnosticReport' | 'Provenance'] ?? resource.resourceType
    return resource.bodySite?.text ? `${wording.action.Observation}: ${resource.bodySite.text}` : wording.action.count
  }
  const actions = known.get(wording) ?? resources.map((resource): Action => ({ type: 'create', description: describe(resource), resource }))
  known.set(wording, actions)
  return actions
}

function resultDetail(input: ResultCardInput, context: CardContext): string {
  const { screening, before, newer, unwritable, calibration } = input
  const { wording, tenant, now } = context
  const day = dayIn(wording, screening.photoTime, tenant.timeZone, now)
  const flagged = screening.findings.some(isFlagged)
  return paragraphs([
    wording.taken(day, ageInWords(screening.photoTime, context)),
    flagged ? jointTable(screening, wording) : wording.nothingFlagged(screening.count.assessable),
    before ? change(before, screening, wording, dayIn(wording, before.photoTime, tenant.timeZone, now)) : '',
    missingList(screening.findings, wording),
    newer ? `**${newerWords(newer, wording)}**` : '',
    unwritable ? wording.unwritable : '',
    ...doneWith(input, (time) => dayIn(wording, time, tenant.timeZone, now), wording),
    `${screening.signed || signedInPart(screening) ? wording.suggestion : wording.unreviewed} ${wording.caution}`,
    wording.research,
    calibration ? `${wording.calibration}: ${escaped(calibration)}` : ''
  ])
}

/** What became of it so far; what a clinician signed stands before all else, and what was accepted before what lies in the record. */
function doneWith({ screening, recorded, setAside }: ResultCardInput, day: (time: string) => string, wording: Wording): readonly string[] {
  const { signed, accepted } = screening
  if (signed) return [wording.signed(day(signed))]
  const part = signedInPart(screening)
  const named = (joints: readonly JointAt[]) => joints.map(({ side, joint }) => wording.jointOf(side, joint)).join(', ')
  return [
    part ? wording.signedPart(day(part.at), named(part.signed), named(part.open)) : '',
    accepted ? wording.accepted(day(accepted)) : recorded ? wording.recorded : '',
    setAside ? wording.setAside(day(setAside.at), reasonWords(setAside, wording)) : ''
  ]
}

/** In our words where it is one that our cards offer. An EHR may offer others of its own, whose words are not ours to repeat. */
function reasonWords({ reason }: SetAside, wording: Wording): string | undefined {
  return Object.entries(wording.override).find(([code]) => isOwnReason(reason, code as OverrideCode))?.[1]
}

export type OverrideCode = keyof Wording['override']

export function isOwnReason(reason: SetAside['reason'], code: OverrideCode): boolean {
  return reason?.code === code && (reason.system ?? OVERRIDE_SYSTEM) === OVERRIDE_SYSTEM
}

interface SignedPart {
  readonly at: string
  /** Joints flagged here of which clinicians have signed an answer, and those of which they have not. */
  readonly signed: readonly JointAt[]
  readonly open: readonly JointAt[]
}

/** Undefined where nothing that is flagged here was signed, or all of it. */
function signedInPart(screening: Screening): SignedPart | undefined {
  const { answered, findings } = screening
  if (!answered || screening.signed) return undefined
  const { signed = [], open = [] } = Object.groupBy(findings.filter(isFlagged), (one) => isAt(answered.joints, one) ? 'signed' : 'open')
  return signed.length > 0 ? { at: answered.at, signed, open } : undefined
}

const isFlagged = (finding: JointFinding) => finding.kind === 'assessed' && finding.inflamed

function isAt(joints: readonly JointAt[], { side, joint }: JointAt): boolean {
  return joints.some((one) => one.side === side && one.joint === joint)
}

/** Only rows where something is flagged and open: a small table is read. */
function jointTable(screening: Screening, wording: Wording): string {
  const part = signedInPart(screening)
  const answered = part ? screening.answered?.joints ?? [] : []
  const rows = HAND_JOINTS.flatMap((joint) => {
    const pair = LATERALITIES.map((side) => screening.findings.find((one) => one.side === side && one.joint === joint))
    if (!pair.some((one) => one && isFlagged(one) && !isAt(answered, one))) return []
    return [[wording.joint(joint), ...pair.map((one) => one && isAt(answered, one) ? wording.signedCell : cell(one, wording))]]
  })
  return table(wording.columns, rows)
}

function cell(finding: JointFinding | undefined, wording: Wording): string {
  if (finding?.kind !== 'assessed') return wording.notAssessable
  return finding.inflamed ? wording.flagged(percentOf(finding.probability)) : wording.notFlagged
}

/** `Not assessable: left thumb IP, left PIP 2 (too little detail); right hand (no photo)`: a reason and a whole hand are named once. */
function missingList(findings: readonly JointFinding[], wording: Wording): string {
  const named = LATERALITIES.flatMap((side) => {
    const ofSide = findings.filter((one) => one.side === side)
    const unread = ofSide.flatMap((one) => (one.kind === 'not-assessed' ? [one] : []))
    const reasons = new Set(unread.map(({ reason }) => reason))
    const [only] = reasons
    if (unread.length === ofSide.length && reasons.size === 1 && only) return [`${wording.hand[side]} (${wording.reason[only]})`]
    return [...Map.groupBy(unread, ({ reason }) => reason)].map(([reason, joints]) =>
      `${joints.map(({ joint }) => wording.jointOf(side, joint)).join(', ')} (${wording.reason[reason]})`)
  })
  return named.length > 0 ? `${wording.missing}: ${named.join('; ')}` : ''
}

/** Only joints that were assessed both times are compared: a hand that was not photographed has not healed. */
function change(before: Screening, now: Screening, wording: Wording, day: string): string {
  const flagged = ({ findings }: Screening) => new Map(findings.flatMap((one) =>
    one.kind === 'assessed' ? [[wording.jointOf(one.side, one.joint), one.inflamed] as const] : []))
  const then = flagged(before)
  const both = [...flagged(now)].filter(([name]) => then.has(name))
  const newly = both.filter(([name, is]) => is && !then.get(name)).map(([name]) => name)
  const gone = both.filter(([name, is]) => !is && then.get(name)).map(([name]) => name)
  const flaggedNow = both.filter(([, is]) => is).length
  return [
    both.length === 0 ? wording.neitherTime(day) : wording.since(day, both.length, flaggedNow - newly.length + gone.length, flaggedNow),
    list([
      ...(newly.length > 0 ? [`${wording.newly}: ${newly.join(', ')}`] : []),
      ...(gone.length > 0 ? [`${wording.gone}: ${gone.join(', ')}`] : [])
    ]),
    before.model.digest === now.model.digest ? '' : wording.otherModel
  ].filter(Boolean).join('\n\n')
}

function ageInDays(iso: string, now: number): number {
  return Math.max(0, (now - Date.parse(iso)) / 86_400_000)
}

/** None where the record knows a month or a year alone: they are of no day. */
function ageInWords(photoTime: string, { wording, tenant, now }: CardContext): string | undefined {
  const precision = datePrecisionOf(photoTime)
  return precision === 'year' || precision === 'month' ? undefined : wording.age(calendarDays(photoTime, now, tenant.timeZone))
}

/** Midnights between then and now at the site: yesterday evening is yesterday. Negative for a date that is still to come. */
function calendarDays(iso: string, now: number, timeZone: string): number {
  const midnight = (dateTime: string) => Date.parse(dayOf(dateTime, timeZone))
  return Math.round((midnight(new Date(now).toISOString()) - midnight(iso)) / 86_400_000)
}

function fitting(variants: readonly string[]): string {
  const found = variants.find((one) => one.length <= SUMMARY_LIMIT)
  if (found === undefined) throw new Error(`Expected a summary of at most ${SUMMARY_LIMIT} characters`)
  return found
}

const paragraphs = (parts: readonly string[]) => parts.filter(Boolean).join('\n\n')
