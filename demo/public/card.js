import { ask, element } from './dom.js'
import { isWeb, markdown } from './markdown.js'

const MEANING = { info: 'Information', warning: 'Attention', critical: 'Critical' }

/** One CDS card. `changed` is called after the record was written to. */
export function card(received, patientId, changed) {
  const outcome = element('div', { class: 'outcome', role: 'status' })
  const indicator = MEANING[received.indicator] ? received.indicator : 'info'
  return element('article', { class: `panel card ${indicator}` },
    element('p', { class: 'indicator' }, MEANING[indicator]),
    element('h3', {}, received.summary),
    element('div', { class: 'detail' }, markdown(received.detail ?? '')),
    source(received.source),
    element('div', { class: 'actions' },
      (received.suggestions ?? []).map((one) => suggestion(one, received, patientId, outcome, changed)),
      (received.links ?? []).map((one) => follow(one, patientId))),
    (received.overrideReasons ?? []).length > 0 ? override(received, patientId, outcome) : undefined,
    outcome)
}

function source({ label, url } = {}) {
  if (!label) return undefined
  return element('p', { class: 'quiet' }, 'Source: ', url && isWeb(url) ? element('a', { href: url, target: '_blank', rel: 'noopener noreferrer' }, label) : label)
}

function suggestion({ uuid, label }, { uuid: cardId }, patientId, outcome, changed) {
  const button = element('button', { type: 'button', class: 'primary', onclick: accept }, label)
  return button

  async function accept() {
    button.disabled = true
    outcome.replaceChildren(element('p', {}, 'Writing…'))
    try {
      const { status, resources, feedback } = await ask('/demo/accept', { patient: patientId, card: cardId, suggestion: uuid })
      outcome.replaceChildren(
        element('p', { class: 'done' }, `${status === 'already' ? 'Already in the record' : 'Written to the record'}: ${counted(resources)}.`),
        element('details', {}, element('summary', {}, 'What was written'), element('ul', {}, resources.map((one) => element('li', {}, described(one))))),
        ...(feedback && (feedback.status < 200 || feedback.status > 299) ? [element('p', { class: 'quiet' }, 'JointLens could not be told.')] : []))
      await changed()
    } catch (error) {
      outcome.replaceChildren(element('p', { class: 'problem' }, error.message))
      button.disabled = false
    }
  }
}

/** SMART links open by a launch of this EHR, with the card's appContext; other links open as they are. */
function follow({ label, url, type, appContext }, patientId) {
  const address = type === 'smart'
    ? `/demo/launch?${new URLSearchParams({ patient: patientId, ...(appContext ? { appContext } : {}) })}`
    : isWeb(url) ? url : undefined
  return address && element('a', { class: 'button', href: address, target: '_blank', rel: type === 'smart' ? 'opener' : 'noopener noreferrer' },
    label, element('span', { class: 'visually-hidden' }, ' (opens in a new tab)'))
}

function override({ uuid, overrideReasons }, patientId, outcome) {
  const reason = element('select', { id: `reason-${uuid}` }, overrideReasons.map(({ code, display }) => element('option', { value: code }, display ?? code)))
  const comment = element('input', { id: `comment-${uuid}`, type: 'text', maxlength: '1000', autocomplete: 'off' })
  const button = element('button', { type: 'button', onclick: send }, 'Set aside')
  const part = element('details', { class: 'override' }, element('summary', {}, 'Set this card aside'),
    element('div', { class: 'fields' },
      element('label', { for: reason.id }, 'Reason'), reason, element('label', { for: comment.id }, 'Comment (optional)'), comment, button))
  return part

  async function send() {
    button.disabled = true
    try {
      await ask('/demo/override', { patient: patientId, card: uuid, reason: reason.value, ...(comment.value ? { comment: comment.value } : {}) })
      outcome.replaceChildren(element('p', { class: 'done' }, 'Set aside. JointLens was told why.'))
      part.open = false
    } catch (error) {
      outcome.replaceChildren(element('p', { class: 'problem' }, error.message))
    }
    button.disabled = false
  }
}

function counted(resources) {
  const counts = new Map()
  for (const { resourceType } of resources) counts.set(resourceType, (counts.get(resourceType) ?? 0) + 1)
  return [...counts].map(([type, count]) => `${count} ${type}${count > 1 ? 's' : ''}`).join(', ')
}

/** One line about a resource: what, where, value, status. */
export function described(resource) {
  const text = (concept) => concept?.text ?? concept?.coding?.[0]?.display ?? concept?.coding?.[0]?.code
  return [
    text(resource.code) ?? resource.resourceType, text(resource.bodySite), valueOf(resource), resource.status,
    resource.resourceType === 'Provenance' ? undefined : `${resource.resourceType}/${resource.id}`
  ].filter(Boolean).join(' · ')

  function valueOf({ valueInteger, valueQuantity, valueString, valueBoolean, valueCodeableConcept, dataAbsentReason }) {
    if (dataAbsentReason) return `no value: ${text(dataAbsentReason)}`
    if (valueQuantity) return `${valueQuantity.value} ${valueQuantity.unit ?? ''}`.trim()
    return text(valueCodeableConcept) ?? valueString ?? (valueInteger ?? valueBoolean)?.toString()
  }
}
