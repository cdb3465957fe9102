/**
 * The rules of CDS Hooks 2.0.1 on what a service answers, written from the specification (cards, suggestions, actions, links,
 * feedback; invariants cds-resp-1 to 7) and sharing nothing with the product. Each fault names its place.
 */
type Json = unknown
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i

const CARD = ['uuid', 'summary', 'detail', 'indicator', 'source', 'suggestions', 'selectionBehavior', 'overrideReasons', 'links', 'extension']
const SUGGESTION = ['label', 'uuid', 'isRecommended', 'actions', 'extension']
const SERVICE = ['hook', 'title', 'description', 'id', 'prefetch', 'usageRequirements', 'extension']

export function serviceFaults(discovery: Json): readonly string[] {
  const { services, ...rest } = object(discovery)
  return [
    ...(Array.isArray(services) ? [] : ['services: an array']), ...others(rest, [], ''),
    ...list(services).flatMap((service, at) => [
      ...texts(service, ['hook', 'description', 'id'], `services[${at}]`), ...others(object(service), SERVICE, `services[${at}]`)
    ])
  ]
}

export function answerFaults(answer: Json): readonly string[] {
  const { cards, systemActions, extension, ...rest } = object(answer)
  return [
    ...(Array.isArray(cards) ? [] : ['cards: an array']), ...others(rest, [], ''),
    ...(systemActions === undefined ? [] : ['systemActions: none']), ...(extension === undefined ? [] : others({ extension }, ['extension'], '')),
    ...list(cards).flatMap((card, at) => cardFaults(card, `cards[${at}]`))
  ]
}

function cardFaults(card: Json, at: string): string[] {
  const { summary, indicator, source, suggestions, selectionBehavior, links, overrideReasons, uuid, detail } = object(card)
  const topic = object(object(source)['topic'])
  return [
    ...others(object(card), CARD, at), ...texts(card, ['summary', 'indicator'], at), ...texts(source, ['label'], `${at}.source`),
    ...(String(summary).length < 140 ? [] : [`${at}.summary: under 140 characters`]),
    ...(['info', 'warning', 'critical'].includes(String(indicator)) ? [] : [`${at}.indicator: info, warning or critical`]),
    ...(uuid === undefined || isUuid(uuid) ? [] : [`${at}.uuid: a UUID`]),
    ...(detail === undefined || typeof detail === 'string' ? [] : [`${at}.detail: text`]),
    ...(object(source)['topic'] === undefined ? [] : texts(topic, ['code'], `${at}.source.topic`)),
    ...(suggestions === undefined || selectionBehavior === 'at-most-one' || selectionBehavior === 'any' ? [] : [`${at}.selectionBehavior: with suggestions`]),
    ...(selectionBehavior === 'at-most-one' && list(suggestions).filter((one) => object(one)['isRecommended'] === true).length > 1 ? [`${at}.suggestions: one recommended at most`] : []),
    ...list(suggestions).flatMap((one, index) => suggestionFaults(one, `${at}.suggestions[${index}]`)),
    ...list(overrideReasons).flatMap((one, index) => texts(one, ['code', 'system', 'display'], `${at}.overrideReasons[${index}]`)),
    ...list(links).flatMap((one, index) => linkFaults(one, `${at}.links[${index}]`))
  ]
}

function suggestionFaults(suggestion: Json, at: string): string[] {
  return [
    ...others(object(suggestion), SUGGESTION, at), ...texts(suggestion, ['label'], at),
    ...(isUuid(object(suggestion)['uuid']) ? [] : [`${at}.uuid: a UUID, so that feedback can name it`]),
    ...list(object(suggestion)['actions']).flatMap((action, index) => actionFaults(action, `${at}.actions[${index}]`))
  ]
}

function actionFaults(action: Json, at: string): string[] {
  const { type, resource, resourceId } = object(action)
  return [
    ...others(object(action), ['type', 'description', 'resource', 'resourceId', 'extension'], at), ...texts(action, ['type', 'description'], at),
    ...(['create', 'update', 'delete'].includes(String(type)) ? [] : [`${at}.type`]),
    ...((type === 'delete') === (resource === undefined) ? [] : [`${at}.resource: on create and update alone`]),
    ...((type === 'delete') === (resourceId !== undefined) ? [] : [`${at}.resourceId: on delete alone`])
  ]
}

function linkFaults(link: Json, at: string): string[] {
  const { url, type, appContext } = object(link)
  return [
    ...others(object(link), ['label', 'url', 'type', 'appContext', 'extension'], at), ...texts(link, ['label', 'url', 'type'], at),
    ...(URL.canParse(String(url)) ? [] : [`${at}.url: an address`]), ...(['absolute', 'smart'].includes(String(type)) ? [] : [`${at}.type`]),
    ...(appContext === undefined || (type === 'smart' && typeof appContext === 'string') ? [] : [`${at}.appContext: a text, on smart links alone`])
  ]
}

/** No null, nothing empty, except `cards` and `services` (CDS Hooks 2.0.1, use of JSON). Places of what is. */
export function emptyMembers(value: Json, at = ''): readonly string[] {
  const empty = value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
  if (empty) return at === '.cards' || at === '.services' ? [] : [at]
  if (typeof value !== 'object') return []
  return Object.entries(value).flatMap(([name, one]) => emptyMembers(one, `${at}.${name}`))
}

function texts(value: Json, names: readonly string[], at: string): string[] {
  return names.filter((name) => typeof object(value)[name] !== 'string' || object(value)[name] === '').map((name) => `${at}.${name}: a text`)
}

function others(value: Record<string, Json>, known: readonly string[], at: string): string[] {
  return Object.keys(value).filter((name) => !known.includes(name)).map((name) => `${at}.${name}: no such member`)
}

function isUuid(value: Json): boolean {
  return typeof value === 'string' && UUID.test(value)
}

function object(value: Json): Record<string, Json> {
  return typeof value === 'object' && value !== null ? value as Record<string, Json> : {}
}

function list(value: Json): readonly Json[] {
  return Array.isArray(value) ? value : []
}
