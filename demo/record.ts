import { badRequest, OperationOutcomeError, validateResource, type WithId } from '@medplum/core'
import { FhirRepository, MemoryRepository } from '@medplum/fhir-router'
import type { OperationOutcome, Resource } from '@medplum/fhirtypes'
import { indexR4, RECORD_TYPES } from './r4-definitions.ts'

type Create = MemoryRepository['createResource']

/** The demo's patient record: @medplum's engine in memory, which here validates, gives its own ids and rolls back. */
export class DemoRecord extends MemoryRepository {
  constructor() {
    indexR4()
    super()
  }

  override async createResource<T extends Resource>(...[resource, options, update]: Parameters<Create>) {
    const { resourceType } = resource
    if (!RECORD_TYPES.some((type) => type === resourceType))
      throw new OperationOutcomeError(badRequest(`Expected a type that /metadata lists but received ${resourceType}`))
    validateResource(resource)
    const named = options?.assignedId === true || update === true
    return super.createResource<T>((named ? resource : { ...resource, id: undefined }) as T, options, update)
  }

  /** The engine's own short cut would neither validate nor give a new id. */
  override conditionalCreate<T extends Resource>(...call: Parameters<MemoryRepository['conditionalCreate']>) {
    return FhirRepository.prototype.conditionalCreate.apply(this, call) as Promise<{ resource: WithId<T>; outcome: OperationOutcome }>
  }

  /** The engine replaces resources and never changes one, so what must be kept are the lists of them. */
  override async withTransaction<R>(callback: (record: this) => Promise<R>): Promise<R> {
    const inner = this as unknown as { resources: ByType<Resource>; history: ByType<Resource[]> }
    const before = { resources: copied(inner.resources, (one) => one), history: copied(inner.history, (versions) => [...versions]) }
    try {
      return await callback(this)
    } catch (error) {
      Object.assign(inner, before)
      throw error
    }
  }
}

type ByType<T> = Map<string, Map<string, T>>

function copied<T>(types: ByType<T>, copy: (one: T) => T): ByType<T> {
  return new Map([...types].map(([type, byId]) => [type, new Map([...byId].map(([id, one]) => [id, copy(one)]))]))
}
