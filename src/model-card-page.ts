import { pageOf, type Page } from './plain-page.ts'

/** The model card for a person: headings, paragraphs, lists and tables of MODEL_CARD.md, everything else as text. */
export function modelCardPage(markdown: string): Page {
  return pageOf('JointLens model card', markdown.trim().split(/\n{2,}/).map(block).join('\n'))
}

function block(text: string, index: number): string {
  const heading = /^(#{1,4}) (.*)$/s.exec(text)
  if (heading) return `<h${heading[1]?.length}>${inline(heading[2] ?? '')}</h${heading[1]?.length}>`
  const lines = text.split('\n')
  if (lines.every((line) => line.startsWith('|'))) return table(lines, index)
  if (lines.every((line) => line.startsWith('- '))) return `<ul>${lines.map((line) => `<li>${inline(line.slice(2))}</li>`).join('')}</ul>`
  return `<p>${inline(text)}</p>`
}

function table([head = '', , ...rows]: readonly string[], index: number): string {
  const cells = (line: string, tag: string) => line.replace(/^\||\|$/g, '').split('|').map((cell) => `<${tag}>${figure(inline(cell.trim()))}</${tag}>`).join('')
  const body = rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')
  return `<div class="scroll" role="region" aria-label="Table ${index}" tabindex="0"><table class="figures"><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${body}</tbody></table></div>`
}

/** A figure and its interval do not break in themselves. */
const figure = (cell: string) => cell.replace(/^(\S+) (\([^)]* to [^)]*\))$/, '$1 <span class="interval">$2</span>')

function inline(text: string): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return escaped.replace(/\*\*(.+?)\*\*/g, '<strong>$1</strong>').replace(/`(.+?)`/g, '<code>$1</code>')
}
