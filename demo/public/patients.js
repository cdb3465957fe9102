import { age, ask, complain, element, show, time } from './dom.js'

function line(patient) {
  const today = new Date().toDateString()
  const next = patient.appointments.find(({ start }) => new Date(start).toDateString() === today)
  return element('li', {}, element('a', { class: 'panel patient-link', href: `/patients/${encodeURIComponent(patient.id)}` },
    element('span', { class: 'strong' }, patient.name[0].text),
    element('span', {}, `${patient.gender}, ${age(patient.birthDate)} years`),
    element('span', { class: 'quiet' }, next ? `${time(next.start)} · ${next.description}` : 'no appointment today'),
    element('span', { class: 'quiet' }, patient.photos === 0 ? 'no photos' : patient.photos === 1 ? '1 photo' : `${patient.photos} photos`)))
}

try {
  const { clinician, patients } = await ask('/demo/patients')
  show('who', `Signed in as ${clinician}; no password in this demo`)
  show('patients', patients.map(line))
} catch (error) {
  complain(error)
}
document.getElementById('patients').removeAttribute('aria-busy')
