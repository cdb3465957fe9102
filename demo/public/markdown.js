import { element } from './dom.js'

/**
 * The GitHub Flavored Markdown that cards use, as elements: paragraphs, headings, lists, tables, emphasis, code, links. HTML in
 * it stays text, links lead to http and https only, and entities are read last, so that an escaped character never becomes markup.
 */
export function markdown(text) {
  const lines = text.replace(/\r\n?/g, '\n').split('\n')
  const blocks = []
  while (lines.length > 0) blocks.push(block(lines))
  return blocks.filter(Boolean)
}

function block(lines) {
  if (lines[0].trim() === '') return void lines.shift()
  if (isTable(lines)) return table(lines)
  const heading = /^(#{1,6})\s+(.*)$/.exec(lines[0])
  if (heading) return lines.shift(), element('p', { class: 'strong' }, inline(heading[2]))
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(lines[0])) return lines.shift(), element('hr')
  if (ITEM.test(lines[0])) return list(lines)
  if (/^>\s?/.test(lines[0])) return element('blockquote', {}, markdown(taken(lines, (line) => /^>\s?/.test(line)).map((line) => line.replace(/^>\s?/, '')).join('\n')))
  const first = lines.shift()
  const more = taken(lines, (line) => line.trim() !== '' && !ITEM.test(line) && !/^(#{1,6}\s|>)/.test(line) && !line.trim().startsWith('|'))
  return element('p', {}, [first, ...more].flatMap((line, at) => at === 0 ? inline(line) : [/(\\| {2})$/.test([first, ...more][at - 1]) ? element('br') : ' ', ...inline(line)]))
}

const ITEM = /^\s*(?:[-*+]|\d{1,9}[.)])\s+/

function taken(lines, wanted) {
  const found = []
  while (lines.length > 0 && wanted(lines[0])) found.push(lines.shift())
  return found
}

function list(lines) {
  const ordered = /^\s*\d/.test(lines[0])
  const items = taken(lines, (line) => ITEM.test(line)).map((line) => element('li', {}, inline(line.replace(ITEM, ''))))
  return element(ordered ? 'ol' : 'ul', {}, items)
}

const isTable = ([head, rule]) => head.includes('|') && rule !== undefined && /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/.test(rule) && rule.includes('-')

function table(lines) {
  const head = cells(lines.shift())
  lines.shift()
  const rows = taken(lines, (line) => line.trim() !== '' && line.includes('|')).map(cells)
  const row = (name, values, attributes = {}) => element('tr', {}, head.map((_, at) => element(name, attributes, inline(values[at] ?? ''))))
  return element('div', { class: 'wide', tabindex: '0', role: 'region', 'aria-label': 'Table' }, element('table', {},
    element('thead', {}, row('th', head, { scope: 'col' })), element('tbody', {}, rows.map((values) => row('td', values)))))
}

function cells(line) {
  return line.trim().replace(/^\|/, '').replace(/(?<!\\)\|$/, '').split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll('\\|', '|'))
}

const INLINE = /(`+)(.+?)\1|!?\[([^\]]*)\]\(\s*<?([^\s)>]+)>?(?:\s+"[^"]*")?\s*\)|(\*\*|__)(?=\S)(.+?)(?<=\S)\5|([*_])(?=\S)(.+?)(?<=\S)\7|<(https?:\/\/[^\s<>]+)>|\\([!-/:-@[-`{-~])/

function inline(text) {
  const made = []
  for (let rest = text.trim(); rest !== '';) {
    const found = INLINE.exec(rest)
    if (!found) return [...made, plain(rest)]
    const [all, , code, label, target, , strong, , emphasis, bare, escaped] = found
    if (found.index > 0) made.push(plain(rest.slice(0, found.index)))
    if (code !== undefined) made.push(element('code', {}, plain(code)))
    else if (target !== undefined) made.push(all.startsWith('!') ? plain(label) : link(target, label))
    else if (strong !== undefined) made.push(element('strong', {}, inline(strong)))
    else if (emphasis !== undefined) made.push(element('em', {}, inline(emphasis)))
    else if (bare !== undefined) made.push(link(bare, bare))
    else made.push(plain(escaped))
    rest = rest.slice(found.index + all.length)
  }
  return made
}

function link(target, label) {
  const address = plain(target)
  return isWeb(address) ? element('a', { href: address, target: '_blank', rel: 'noopener noreferrer' }, inline(label)) : plain(label)
}

export function isWeb(address) {
  return URL.canParse(address) && /^https?:$/.test(new URL(address).protocol)
}

const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: '\u00a0' }

function plain(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(amp|lt|gt|quot|apos|nbsp));/gi, (all, decimal, hexadecimal, name) => {
    if (name) return NAMED[name.toLowerCase()]
    const code = decimal ? Number(decimal) : parseInt(hexadecimal, 16)
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : all
  })
}
