/** Tokens of CDS Hooks 2.0: `{{context.…}}` for simple members, and the parts of `context.userId`. */
const USER_TOKENS: Readonly<Record<string, string>> = {
  userPractitionerId: 'Practitioner', userPractitionerRoleId: 'PractitionerRole', userPatientId: 'Patient', userRelatedPersonId: 'RelatedPerson'
}

/** The query of one template, or undefined when a token has no value: then the key is left out (CDS Hooks 2.0.1, prefetch tokens). */
export function filledTemplate(template: string, context: Readonly<Record<string, unknown>>): string | undefined {
  let complete = true
  const query = template.replace(/\{\{\s*([\w.]+)\s*\}\}/g, (_token, name: string) => {
    const value = tokenValue(name, context)
    if (value === undefined) complete = false
    return value ?? ''
  })
  return complete && !query.includes('{{') ? query : undefined
}

function tokenValue(name: string, context: Readonly<Record<string, unknown>>): string | undefined {
  const [first = '', member, deeper] = name.split('.')
  if (first === 'context' && member !== undefined && deeper === undefined) return simple(context[member])
  const [type, id] = simple(context['userId'])?.split('/') ?? []
  return USER_TOKENS[first] !== undefined && USER_TOKENS[first] === type && member === undefined ? id : undefined
}

function simple(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}

/**
 * Reads every template's query from the EHR's own FHIR server with the token that the service gets as well. What cannot be
 * filled or read is left out.
 */
export async function readPrefetch(
  templates: Readonly<Record<string, string>>, context: Readonly<Record<string, unknown>>, fhir: { readonly base: string; readonly token: string }
): Promise<Record<string, unknown>> {
  const filled = await Promise.all(Object.entries(templates).map(async ([name, template]) => {
    const query = filledTemplate(template, context)
    const resource = query === undefined ? undefined : await readQuery(`${fhir.base}/${query}`, fhir.token)
    return resource === undefined ? [] : [[name, resource] as const]
  }))
  return Object.fromEntries(filled.flat())
}

async function readQuery(url: string, token: string): Promise<unknown> {
  const response = await fetch(url, { headers: { accept: 'application/fhir+json', authorization: `Bearer ${token}` }, redirect: 'error' })
  const body: unknown = await response.json()
  return response.status === 200 ? body : undefined
}
