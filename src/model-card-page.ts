import { createHash } from 'node:crypto'

const STYLE = `:root{color-scheme:light dark;font:16px/1.55 system-ui,'DejaVu Sans',sans-serif}
body{margin:0 auto;max-width:60rem;padding:1rem 1.25rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto;outline-offset:2px}table{border-collapse:collapse;font-size:.9rem;overflow-wrap:normal}
th,td{border-bottom:1px solid #8886;padding:.25rem .9rem .25rem 0;text-align:left}`

/** For the page's Content-Security-Policy: its one style sheet and nothing else. */
export const MODEL_CARD_POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; frame-ancestors 'none'`

/** The model card for a person: headings, paragraphs, lists and tables of MODEL_CARD.md, everything else as text. */
export function modelCardPage(markdown: string): string {
  const blocks = markdown.trim().split(/\n{2,}/).map(block)
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>JointLens model card</title><style>${STYLE}</style></head><body><main>${blocks.join('\n')}</main></body></html>`
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
  const cells = (line: string, tag: string) => line.replace(/^\||\|$/g, '').split('|').map((cell) => `<${tag}>${inline(cell.trim())}</${tag}>`).join('')
  const body = rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')
  return `<div class="scroll" role="region" aria-label="Table ${index}" tabindex="0"><table><thead><tr>${cells(head, 'th')}</tr></thead><tbody>${body}</tbody></table></div>`
}

function inline(text: string): string {
  const escaped = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
  return escaped.replace(/\*\*(.+?)\*\*/g, '<strong>$1</strong>').replace(/`(.+?)`/g, '<code>$1</code>')
}
