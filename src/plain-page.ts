import { createHash } from 'node:crypto'

/** A page without script: its HTML and the Content-Security-Policy that allows its one style sheet and nothing else. */
export interface Page {
  readonly html: string
  readonly policy: string
}

/** In the colours of the app (smart-launch/web/src/style.css). */
const STYLE = `:root{color-scheme:light dark;font:16px/1.55 system-ui,'DejaVu Sans',sans-serif;color:light-dark(#14212b,#e8eef2);background:light-dark(#f5f7f8,#10181e)}
a{color:light-dark(#0b5c7a,#6cc4e6)}
body{margin:0 auto;max-width:60rem;padding:1rem 1.25rem;overflow-wrap:anywhere}
h1{font-size:1.375rem;line-height:1.25}h2{font-size:1.1rem;line-height:1.3;margin:1.5em 0 .3em}.scroll{overflow-x:auto;outline-offset:2px}table{border-collapse:collapse;font-size:.9rem;overflow-wrap:normal}
caption{text-align:left;padding-bottom:.35rem}th,td{border-bottom:1px solid #8886;padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top}thead th{color:light-dark(#50626f,#a9b8c3)}
.list{width:100%;min-width:38rem;table-layout:fixed}.list th:first-child{width:4.5rem}.list th:nth-child(2){width:32%}.list th:last-child{width:8rem}
.interval{white-space:nowrap}.scroll+.scroll{margin-top:1.5rem}@media(max-width:40rem){.interval{display:block}.figures th:first-child,.figures td:first-child{position:sticky;left:0;background:light-dark(#f5f7f8,#10181e);min-width:5.5rem;max-width:8rem}}
.note{border-left:.25rem solid #8888;padding-left:.75rem}@media print{body{max-width:none}.scroll{overflow:visible}}`
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`

/** `body` is HTML that its maker has escaped; `framedBy` are the origins whose frames may show it. The page carries its policy too, for when it is opened from a disk. */
export function pageOf(title: string, body: string, language: 'en' | 'de' = 'en', framedBy: readonly string[] = []): Page {
  return {
    policy: `${POLICY}; frame-ancestors ${framedBy.length > 0 ? ["'self'", ...framedBy].join(' ') : "'none'"}`,
    html: `<!doctype html><html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>${escapeHtml(title)}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`
  }
}

/** Text for an element or a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#39;')
}
