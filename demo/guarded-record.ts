import { forbidden, formatSearchQuery, notFound, OperationOutcomeError, type SearchRequest, type WithId } from '@medplum/core'
import { FhirRepository, getExtraEntries, type MemoryRepository } from '@medplum/fhir-router'
import type { Bundle, BundleEntry, Reference, Resource } from '@medplum/fhirtypes'
import type { DemoRecord } from './record.ts'
import { reachOf, type Access, type Permission, type Reach } from './scopes.ts'

/** Not about one patient: open to whoever may read the type at all. */
const SHARED = new Set<string>(['Practitioner', 'Device'])
const PAGE = 100
const LARGEST_PAGE = 500

/** The record as one access token may see it; every way into the record of the FHIR router goes through here. */
export class GuardedRecord extends FhirRepository {
  readonly #record: DemoRecord
  readonly #access: Access
  readonly #base: string

  constructor(record: DemoRecord, access: Access, base: string) {
    super()
    this.#record = record
    this.#access = access
    this.#base = base
  }

  setMode(): void {
    // One memory, nothing to choose.
  }

  generateId(): string {
    return this.#record.generateId()
  }

  async createResource<T extends Resource>(resource: T, options?: Parameters<MemoryRepository['createResource']>[1]): Promise<WithId<T>> {
    await this.#within(resource, this.#reach(resource.resourceType, 'c'))
    return this.#record.createResource<T>(resource, options)
  }

  async readResource<T extends Resource>(type: string, id: string): Promise<WithId<T>> {
    const reach = this.#reach(type, 'r')
    const resource = await this.#record.readResource<T>(type, id)
    await this.#within(resource, reach)
    return resource as WithId<T>
  }

  async readReference<T extends Resource>({ reference = '' }: Reference<T>): Promise<WithId<T>> {
    const [type, id, more] = reference.split('/')
    if (!type || !id || more !== undefined) throw new OperationOutcomeError(notFound)
    return this.readResource<T>(type, id)
  }

  async readReferences<T extends Resource>(references: readonly Reference<T>[]): Promise<(T | Error)[]> {
    return Promise.all(references.map((one) => this.readReference<T>(one).catch((error: unknown) => error as Error)))
  }

  async readHistory<T extends Resource>(type: string, id: string): Promise<Bundle<WithId<T>>> {
    await this.readResource(type, id)
    return this.#record.readHistory<T>(type, id) as Promise<Bundle<WithId<T>>>
  }

  async readVersion<T extends Resource>(type: string, id: string, version: string): Promise<WithId<T>> {
    await this.readResource(type, id)
    return this.#record.readVersion<T>(type, id, version) as Promise<WithId<T>>
  }

  /** Both what is there and what it shall become must be within reach; what is not there yet is created (update as create). */
  async updateResource<T extends Resource>(resource: T, options?: Parameters<MemoryRepository['updateResource']>[1]): Promise<WithId<T>> {
    const reach = this.#reach(resource.resourceType, 'u')
    const before = await this.#record.readResource(resource.resourceType, resource.id ?? '').catch(() => undefined)
    if (before) await this.#within(before, reach)
    else this.#reach(resource.resourceType, 'c')
    await this.#within(resource, reach)
    return this.#record.updateResource(resource, options)
  }

  async deleteResource(type: string, id: string, options?: Parameters<MemoryRepository['deleteResource']>[2]): Promise<void> {
    const reach = this.#reach(type, 'd')
    await this.#within(await this.#record.readResource(type, id), reach)
    return this.#record.deleteResource(type, id, options)
  }

  async patchResource<T extends Resource>(
    type: T['resourceType'], id: string, patch: Parameters<MemoryRepository['patchResource']>[2], options?: Parameters<MemoryRepository['patchResource']>[3]
  ): Promise<WithId<T>> {
    const reach = this.#reach(type, 'u')
    await this.#within(await this.#record.readResource(type, id), reach)
    return this.withTransaction(async () => {
      const after = await this.#record.patchResource<T>(type, id, patch, options)
      await this.#within(after, reach)
      return after
    })
  }

  /** Pages with `next` links, which the engine itself does not make. */
  async search<T extends Resource>(request: SearchRequest<T>): Promise<Bundle<WithId<T>>> {
    const reach = this.#reach(request.resourceType, 's')
    const { count, offset = 0, include: _include, revInclude: _revInclude, ...rest } = request
    const size = Math.min(count ?? PAGE, LARGEST_PAGE)
    const all = (await this.#record.search<T>(rest)).entry ?? []
    const open: BundleEntry<WithId<T>>[] = []
    for (const one of all) if (one.resource && await this.#isWithin(one.resource, reach)) open.push(this.#addressed(one))
    const page: BundleEntry[] = open.slice(offset, offset + size)
    await getExtraEntries(this, request, page.map(({ resource }) => resource as WithId<T>), page)
    return {
      resourceType: 'Bundle',
      type: 'searchset',
      total: open.length,
      link: [
        { relation: 'self', url: this.#address(request) },
        ...(open.length > offset + size ? [{ relation: 'next', url: this.#address({ ...request, count: size, offset: offset + size }) }] : [])
      ],
      ...(page.length > 0 ? { entry: page.map((one) => this.#addressed(one)) as BundleEntry<WithId<T>>[] } : {})
    }
  }

  async searchByReference<T extends Resource>(): Promise<Record<string, WithId<T>[]>> {
    return Promise.reject(new OperationOutcomeError(notFound))
  }

  async withTransaction<R>(callback: (record: this) => Promise<R>): Promise<R> {
    return this.#record.withTransaction(() => callback(this))
  }

  #reach(type: string, permission: Permission): Exclude<Reach, 'nobody'> {
    const reach = reachOf(this.#access, type, permission)
    if (reach === 'nobody') throw new OperationOutcomeError(forbidden)
    return reach
  }

  async #within(resource: Resource, reach: Reach): Promise<void> {
    if (!(await this.#isWithin(resource, reach))) throw new OperationOutcomeError(forbidden)
  }

  async #isWithin(resource: Resource, reach: Reach): Promise<boolean> {
    if (reach === 'everyone' || SHARED.has(resource.resourceType)) return reach !== 'nobody'
    if (reach === 'nobody') return false
    if (resource.resourceType !== 'Provenance') return patientOf(resource) === reach.patient
    const targets = await this.#record.readReferences(resource.target ?? [])
    return targets.length > 0 && targets.every((target) => 'resourceType' in target && patientOf(target) === reach.patient)
  }

  #addressed<E extends BundleEntry>(entry: E): E {
    const { resource } = entry
    return { ...entry, fullUrl: `${this.#base}/${resource?.resourceType}/${resource?.id}` }
  }

  #address(request: SearchRequest): string {
    return `${this.#base}/${request.resourceType}${formatSearchQuery(request)}`
  }
}

/** The patient a resource is about, by the reference that R4 gives its type. A Binary says it by its security context. */
export function patientOf(resource: Resource): string | undefined {
  if (resource.resourceType === 'Patient') return resource.id
  const { subject, patient, securityContext, participant } = resource as Resource & Partial<Record<'subject' | 'patient' | 'securityContext', Reference>> & { participant?: unknown }
  const actors = Array.isArray(participant) ? participant.map((one: { actor?: Reference }) => one.actor) : []
  const references = [subject, patient, securityContext, ...(resource.resourceType === 'Appointment' ? actors : [])]
  return references.map((one) => /^(?:.*\/)?Patient\/([A-Za-z0-9\-.]{1,64})$/.exec(one?.reference ?? '')?.[1]).find(Boolean)
}

