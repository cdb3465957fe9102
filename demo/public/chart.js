import { age, ask, complain, day, element, show, time } from './dom.js'
import { card, described } from './card.js'

const patientId = decodeURIComponent(location.pathname.split('/').at(-1))
const query = `patient=${encodeURIComponent(patientId)}`
const MOMENTS = { 'encounter-start': 'Start the visit', 'appointment-book': 'Book an appointment', 'order-select': 'Order methotrexate' }
/** While photos are being read, the cards are asked for again after so many milliseconds. */
const REFRESH_MS = [1_000, 1_500, 2_000, 2_000, 3_000, 3_000, 5_000, 5_000, 5_000, 10_000, 10_000, 10_000]
let asking = 0

try {
  await drawRecord()
  document.getElementById('columns').hidden = false
  document.getElementById('again').addEventListener('click', () => void advise())
  await Promise.all([advise(), offerMoments()])
} catch (error) {
  complain(error)
}

async function drawRecord() {
  const { clinician, patient, conditions, medications, appointments, photos, observations, reports } = await ask(`/demo/patients/${encodeURIComponent(patientId)}`)
  const name = patient.name[0].text
  document.title = `${name} · demo EHR`
  show('who', `Signed in as ${clinician}; no password in this demo`)
  show('patient',
    element('div', {}, element('h1', { id: 'name' }, name),
      element('p', { class: 'quiet' }, `${patient.gender}, ${age(patient.birthDate)} years, born ${day(patient.birthDate)} · record ${patient.id}`)),
    element('div', { class: 'actions' },
      element('a', { class: 'button', href: `/demo/launch?${query}`, target: '_blank', rel: 'opener' }, 'Open JointLens', element('span', { class: 'visually-hidden' }, ' (opens in a new tab)')),
      element('a', { class: 'button', href: `/patients/${encodeURIComponent(patientId)}/app` }, 'Open it here'),
      element('a', { class: 'button', href: `/demo/launch?${query}&intent=capture`, target: '_blank', rel: 'opener' }, 'Take photos', element('span', { class: 'visually-hidden' }, ' (opens in a new tab)'))))
  document.getElementById('patient').removeAttribute('aria-busy')
  show('photos', photos.length > 0 ? visitsOf(photos) : element('p', { class: 'quiet' }, 'No photos in the record.'))
  show('problems', [...conditions.map(({ code, onsetDateTime }) => element('li', {}, `${code.text} · since ${day(onsetDateTime)}`)),
    ...medications.map(({ medicationCodeableConcept: drug, dosageInstruction, authoredOn }) =>
      element('li', {}, `${drug.text} · ${dosageInstruction?.[0]?.text ?? ''} · since ${day(authoredOn)}`)),
    ...observations.filter(isLaboratory).map(({ code, valueQuantity, effectiveDateTime }) =>
      element('li', {}, `${code.text} ${valueQuantity.value} ${valueQuantity.unit} · ${day(effectiveDateTime)}`))])
  show('visits', appointments.toSorted((a, b) => a.start.localeCompare(b.start)).map(({ start, description }) => element('li', {}, `${time(start)} · ${description}`)))
  show('results', resultsOf(observations, reports))
}

function visitsOf(photos) {
  const days = Map.groupBy(photos.toSorted((a, b) => b.createdDateTime.localeCompare(a.createdDateTime)), ({ createdDateTime }) => day(createdDateTime))
  return [...days].map(([date, some]) => element('div', { class: 'visit' }, element('h3', {}, date), element('div', { class: 'thumbs' }, leftFirst(some).map(thumb))))
}

/** As the hands lie on a desk. */
function leftFirst(photos) {
  return photos.toSorted((a, b) => a.bodySite.text.localeCompare(b.bodySite.text))
}

function thumb({ id, bodySite, createdDateTime }) {
  const address = `/demo/photos/${encodeURIComponent(id)}`
  return element('a', { href: address, target: '_blank', rel: 'noopener' },
    element('img', { src: address, alt: `${bodySite.text}, ${time(createdDateTime)}, synthetic`, loading: 'lazy', width: '150', height: '150' }),
    element('span', {}, bodySite.text))
}

/** Laboratory values were there before anyone looked at a photo. */
function isLaboratory({ category }) {
  return category?.some(({ coding }) => coding?.some(({ code }) => code === 'laboratory')) ?? false
}

function resultsOf(all, reports) {
  const observations = all.filter((one) => !isLaboratory(one))
  if (observations.length + reports.length === 0) return element('p', { class: 'quiet' }, 'None yet. Accepting a suggestion writes them.')
  const newest = (list) => list.toSorted((a, b) => (b.meta?.lastUpdated ?? '').localeCompare(a.meta?.lastUpdated ?? ''))
  return [
    element('p', {}, `${observations.length} Observations, ${reports.length} reports`),
    element('details', {}, element('summary', {}, 'Show them'),
      element('ul', {}, newest([...reports, ...observations]).map((one) => element('li', {}, described(one)))))
  ]
}

/** Calls every patient-view service; asks again by itself while photos are being read. */
async function advise() {
  const mine = ++asking
  const services = (await ask('/demo/services').catch(refused))?.services.filter(({ hook }) => hook === 'patient-view') ?? []
  for (const wait of [...REFRESH_MS, 0]) {
    const calls = await Promise.all(services.map(({ id }) => ask(`/demo/cds/${encodeURIComponent(id)}?${query}`).catch(refused)))
    if (mine !== asking) return
    const cards = calls.flatMap((call) => call?.response?.cards ?? [])
    drawCards(cards, calls)
    if (!cards.some(isPending)) return
    show('waiting', wait > 0 ? 'Photos are being read; this page looks again by itself.' : 'Still being read. Ask again in a moment.')
    await new Promise((resolve) => { setTimeout(resolve, wait) })
    if (mine !== asking) return
  }

  function refused(error) {
    if (mine === asking) show('cards', element('p', { class: 'problem' }, error.message))
  }
}

/** Photos still being read: the topic of the card's source says so, and so do its words. */
function isPending({ source, summary }) {
  return /pending|being-read/.test(source?.topic?.code ?? '') || /being read/i.test(summary)
}

function drawCards(cards, calls) {
  show('waiting', '')
  const failed = calls.find((call) => call && call.status !== 200)
  if (failed) return show('cards', element('p', { class: 'problem' }, `JointLens answered ${failed.status}.`))
  if (calls.some((call) => call === undefined)) return
  show('cards', cards.length > 0 ? cards.map((one) => card(one, patientId, drawRecord)) : element('p', { class: 'quiet' }, 'JointLens has nothing to say about this patient now.'))
}

/** The other hooks this EHR fires, as buttons for the moments at which it would. */
async function offerMoments() {
  const { services } = await ask('/demo/services').catch(() => ({ services: [] }))
  const offered = services.filter(({ hook }) => MOMENTS[hook])
  if (offered.length === 0) return
  const answer = element('div', { role: 'status' })
  const call = async ({ id, hook }) => {
    try {
      const { response } = await ask(`/demo/cds/${encodeURIComponent(id)}?${query}`)
      const cards = response?.cards ?? []
      answer.replaceChildren(...(cards.length > 0 ? cards.map((one) => card(one, patientId, drawRecord)) : [element('p', { class: 'quiet' }, `${MOMENTS[hook]}: no card.`)]))
    } catch (error) {
      answer.replaceChildren(element('p', { class: 'problem' }, error.message))
    }
  }
  show('moments', element('h3', {}, 'Other moments'),
    element('div', { class: 'actions' }, offered.map((one) => element('button', { type: 'button', onclick: () => void call(one) }, MOMENTS[one.hook]))), answer)
}
