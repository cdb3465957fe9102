/** Builds elements; text is always text, never markup. `element('p', { class: 'quiet' }, 'words', otherElement)` */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value)
    else made.setAttribute(key, value === true ? '' : String(value))
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null))
  return made
}

export function show(id, ...children) {
  document.getElementById(id).replaceChildren(...children.flat())
}

/** JSON of the chart's own server; an error carries what the server says. */
export async function ask(address, body) {
  const response = await fetch(address, body === undefined ? {} : {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body)
  }).catch(() => { throw new Error('The demo EHR does not answer. Is it still running?') })
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw new Error(answer.error ?? `The demo EHR answered ${response.status}`)
  return answer
}

export function complain(error) {
  const place = document.getElementById('problem')
  place.textContent = error.message
  place.hidden = false
}

const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' })
const TIME = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' })

export const day = (value) => value ? DAY.format(new Date(value)) : 'no date'
export const time = (value) => value ? TIME.format(new Date(value)) : 'no date'

export function age(birthDate) {
  const [now, born] = [new Date(), new Date(birthDate)]
  const before = now.getMonth() < born.getMonth() || (now.getMonth() === born.getMonth() && now.getDate() < born.getDate())
  return now.getFullYear() - born.getFullYear() - (before ? 1 : 0)
}
