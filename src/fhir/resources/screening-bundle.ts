import type { Bundle, BundleEntry, Identifier, Reference } from 'fhir/r4.js'
import { HAND_JOINTS, LATERALITIES, type JointAt } from '../../joints/hand-joint.ts'
import { withReferences, type Resolved } from './inner-references.ts'
import type { ScreeningResource, ScreeningResources } from './screening-resources.ts'

/** Everything of one screening, in an order in which each resource only refers to earlier ones. */
export function inWritingOrder(resources: ScreeningResources): readonly ScreeningResource[] {
  return [resources.device, ...resources.observations, resources.count, resources.report, resources.provenance]
}

/** The identifier a resource is recognised by; R4 Provenance has none. */
export function identifierOf(resource: ScreeningResource): Identifier | undefined {
  return resource.resourceType === 'Provenance' ? undefined : resource.identifier?.[0]
}

/** `identifier=system|value`, encoded, for If-None-Exist. */
export function identifierQuery({ system, value }: Identifier): string {
  return `identifier=${encodeURIComponent(`${system}|${value}`)}`
}

/** The same of what a resource is recognised by. */
export function ownQuery(resource: ScreeningResource): string | undefined {
  const identifier = identifierOf(resource)
  return identifier && identifierQuery(identifier)
}

/**
 * Transaction Bundle: created under urn:uuid, each with ifNoneExist on its identifier, so that sending it twice makes one.
 * `conditional: false` for servers that take conditions only in small transactions (Medplum: eight entries).
 */
export function screeningBundle(resources: ScreeningResources, { conditional = true } = {}): Bundle {
  const all = inWritingOrder(resources)
  const inside = new Set(all.map(({ id }) => id))
  return {
    resourceType: 'Bundle',
    type: 'transaction',
    entry: all.map((one) => createEntry(one, conditional ? ownQuery(one) : undefined, (_type, id, was) =>
      inside.has(id) ? { ...was, reference: `urn:uuid:${id}` } : undefined))
  }
}

/** Under urn:uuid and our id, which the server replaces by its own. */
export function createEntry(
  resource: ScreeningResource, ifNoneExist?: string, resolve: Parameters<typeof withReferences>[1] = () => undefined
): BundleEntry {
  const { id, ...body } = withReferences(resource, resolve)
  return {
    fullUrl: `urn:uuid:${id}`,
    resource: body,
    request: { method: 'POST', url: resource.resourceType, ...(ifNoneExist ? { ifNoneExist } : {}) }
  }
}

/**
 * The same resources as a flat list for a CDS Hooks suggestion, in an order that can be created one by one. CDS Hooks actions
 * have no fullUrl, so `id` is our deterministic uuid and inner references are `Type/<uuid>`: an EHR that keeps ids or applies
 * the actions as one transaction resolves them, and one that gives new ids still has the identifier beside each reference.
 * The Device is not created by a suggestion; it is named by identifier and display. Observations of joints that a clinician has
 * `answered` are left out, and so is what refers to them.
 */
export function suggestionResources(resources: ScreeningResources, answered: readonly JointAt[] = []): readonly Exclude<ScreeningResource, { resourceType: 'Device' }>[] {
  const all = inWritingOrder(resources)
  const identifiers = new Map(all.map((one) => [one.id, identifierOf(one)]))
  const isOver = new Set(answered.map(({ side, joint }) => resources.observations[LATERALITIES.indexOf(side) * HAND_JOINTS.length + HAND_JOINTS.indexOf(joint)]?.id))
  return all.flatMap((one) => one.resourceType === 'Device' || isOver.has(one.id) ? [] : [withReferences(one, (type, id, was): Resolved | undefined => {
    if (isOver.has(id)) return 'drop'
    const identifier = identifiers.get(id)
    if (!identifier) return undefined
    return type === 'Device' ? logical(resources, was) : { ...was, identifier }
  })])
}

/** The model by its digest and name, where the server cannot hold a Device. */
export function logical({ device }: ScreeningResources, { display }: Reference): Reference {
  const [identifier] = device.identifier ?? []
  return { type: 'Device', ...(identifier ? { identifier } : {}), ...(display ? { display } : {}) }
}
