import { createHash } from 'node:crypto'

/** A page without script: its HTML and the Content-Security-Policy that allows its one style sheet and nothing else. */
export interface Page {
  readonly html: string
  readonly policy: string
}

const STYLE = `:root{color-scheme:light dark;font:16px/1.55 system-ui,'DejaVu Sans',sans-serif}
body{margin:0 auto;max-width:60rem;padding:1rem 1.25rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto;outline-offset:2px}table{border-collapse:collapse;font-size:.9rem;overflow-wrap:normal}
th,td{border-bottom:1px solid #8886;padding:.25rem .9rem .25rem 0;text-align:left}`
const POLICY = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'; frame-ancestors 'none'`

/** `body` is HTML that its maker has escaped. */
export function pageOf(title: string, body: string): Page {
  return {
    policy: POLICY,
    html: `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`
  }
}
