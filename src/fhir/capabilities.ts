import { z } from 'zod'
import { ScreeningError } from '../errors.ts'
import { maybe, some } from './lenient.ts'

/** What `/metadata` allows. It wins over everything we believe about a vendor (specs/conformance.md section 5). */
export interface Capabilities {
  readonly fhirVersion: string
  readonly transaction: boolean
  readonly batch: boolean
  /** Whether it lists any resources: one that does not rules out next to nothing. */
  readonly lists: boolean
  /** `read`, `create`, `update`, `search-type`… of one resource type. */
  can(type: string, interaction: string): boolean
  /** The type can be searched and lists the parameter, or lists no parameters at all. */
  canSearch(type: string, parameter: string): boolean
  /** The parameter as this server spells it (Epic writes `_lastupdated`); undefined when it does not list it. */
  spelled(type: string, parameter: string): string | undefined
  /** Bulk Data `$export` of a group, of all patients, or of the whole system. */
  canExport(level: 'Group' | 'Patient' | 'system'): boolean
  conditionalCreate(type: string): boolean
  updateCreate(type: string): boolean
}

// What is listed and cannot be read is not offered; what it stands beside is.
const codes = some(z.object({ code: z.string() }))
const operations = some(z.object({ name: z.string() }))
const resource = z.object({
  type: z.string(),
  interaction: codes,
  operation: operations,
  conditionalCreate: z.boolean().catch(false),
  updateCreate: z.boolean().catch(false),
  /** A parameter without a name still says that parameters are listed. */
  searchParam: z.array(z.object({ name: z.string().catch('') }).catch({ name: '' })).catch([])
})
const statement = z.object({
  resourceType: z.literal('CapabilityStatement'),
  fhirVersion: maybe(z.string()),
  rest: some(z.object({ mode: maybe(z.string()), interaction: codes, operation: operations, resource: z.array(resource.nullable().catch(null)).catch([]) }))
})

/**
 * Reads a CapabilityStatement. A statement that lists no resources at all says nothing, so nothing is ruled out but
 * transactions and conditions. Throws ERR_EHR_ANSWER.
 */
export function readCapabilities(value: unknown): Capabilities {
  const result = statement.safeParse(value)
  if (!result.success) throw new ScreeningError('ERR_EHR_ANSWER', 'Expected /metadata to be a CapabilityStatement')
  const { fhirVersion = '' } = result.data
  if (!/^(4\.|$)/.test(fhirVersion))
    throw new ScreeningError('ERR_EHR_ANSWER', 'Expected a FHIR R4 server (4.0.1) but /metadata names another version; point fhirBase at the R4 endpoint')
  const rest = result.data.rest.find(({ mode }) => mode !== 'client')
  const resources = new Map(rest?.resource.flatMap((one) => one ? [[one.type, one] as const] : []))
  const system = new Set(rest?.interaction.map(({ code }) => code))
  const silent = (rest?.resource.length ?? 0) === 0
  const can = (type: string, interaction: string) =>
    silent || (resources.get(type)?.interaction.some(({ code }) => code === interaction) ?? false)
  return {
    fhirVersion,
    transaction: system.has('transaction'),
    batch: system.has('batch'),
    lists: !silent,
    can,
    canSearch(type, parameter) {
      const listed = resources.get(type)?.searchParam ?? []
      return can(type, 'search-type') && (listed.length === 0 || listed.some(({ name }) => name === parameter))
    },
    spelled(type, parameter) {
      const listed = resources.get(type)?.searchParam ?? []
      if (!can(type, 'search-type')) return undefined
      return listed.length === 0 ? parameter : listed.find(({ name }) => name.toLowerCase() === parameter.toLowerCase())?.name
    },
    canExport(level) {
      const listed = level === 'system' ? rest?.operation : resources.get(level)?.operation
      // `export`, and `group-export` or `patient-export` as the definitions are called.
      return silent || (listed?.some(({ name }) => /^(?:(?:group|patient)-)?export$/.test(name)) ?? false)
    },
    conditionalCreate: (type) => resources.get(type)?.conditionalCreate ?? false,
    updateCreate: (type) => resources.get(type)?.updateCreate ?? false
  }
}
