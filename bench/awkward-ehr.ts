import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * Two FHIR servers that are hard on a hook, in a process of their own: `/slow` answers after 30 s, `/large` at once, with a
 * Media search whose photo of 25 MB lies inline. Sends its address to the parent.
 */
const SLOW_MS = 30_000
const PHOTO_BYTES = 25_000_000
const metadata = JSON.stringify({
  resourceType: 'CapabilityStatement', status: 'active', date: '2026-11-24', kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
  rest: [{ mode: 'server', resource: ['Media', 'Condition'].map((type) => ({ type, interaction: [{ code: 'read' }, { code: 'search-type' }], searchParam: [{ name: 'patient', type: 'reference' }] })) }]
})
const nothing = JSON.stringify({ resourceType: 'Bundle', type: 'searchset', total: 0 })
const large = JSON.stringify({
  resourceType: 'Bundle', type: 'searchset', total: 1,
  entry: [{ resource: {
    resourceType: 'Media', id: 'large', status: 'completed', subject: { reference: 'Patient/large' }, createdDateTime: '2026-11-24T08:00:00Z',
    content: { contentType: 'image/jpeg', data: Buffer.alloc(PHOTO_BYTES, 'JointLens').toString('base64') }
  } }]
})

const server = createServer(({ url = '' }, response) => {
  const answer = url.includes('/metadata') ? metadata : url.includes('/Media') ? large : nothing
  if (!url.startsWith('/slow')) return send(response, answer)
  const timer = setTimeout(() => { send(response, answer) }, SLOW_MS)
  response.on('close', () => { clearTimeout(timer) })
})
server.listen(0, '127.0.0.1', () => process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }))

function send(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'application/fhir+json' }).end(body)
}
