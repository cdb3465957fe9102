import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { readConfig } from '../../src/config.ts'
import { describeApi } from '../../src/openapi.ts'

const root = new URL('../../', import.meta.url)
const read = (path: string) => readFileSync(new URL(path, root), 'utf8')
const PORT = 8080

/** What compose (compose-spec) and Kubernetes take, as far as these files go: a member that is not listed here is a mistake or a new decision. */
const command = z.array(z.string()).min(1)
const text = z.union([z.string(), z.number()])
const composeService = z.strictObject({
  image: z.string().optional(),
  build: z.strictObject({ context: z.string(), dockerfile: z.string() }).optional(),
  command: command.optional(),
  environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), text).optional(),
  secrets: z.array(z.string()).optional(),
  volumes: z.array(z.string().regex(/^[a-z-]+:\/[\w/.-]+(:ro)?$/)).optional(),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/, 'Expected a port on loopback alone: TLS is in front')).optional(),
  depends_on: z.record(z.string(), z.strictObject({ condition: z.enum(['service_started', 'service_healthy']) })).optional(),
  healthcheck: z.strictObject({ test: z.array(z.string()).min(2), interval: z.string().regex(/^\d+s$/), retries: z.number().int().optional() }).optional(),
  deploy: z.strictObject({ replicas: z.number().int().positive() }).optional(),
  stop_grace_period: z.string().regex(/^\d+s$/).optional(),
  read_only: z.boolean().optional(),
  tmpfs: z.array(z.string().startsWith('/')).optional()
}).refine(({ image, build }) => (image === undefined) !== (build === undefined), 'Expected an image or a build')
const compose = z.strictObject({
  services: z.record(z.string(), composeService),
  secrets: z.record(z.string(), z.strictObject({ file: z.string() })).optional(),
  volumes: z.record(z.string(), z.strictObject({})).optional()
})

const label = z.record(z.string(), z.string())
const metadata = z.strictObject({ name: z.string().regex(/^[a-z0-9-]+$/), labels: label })
const quantity = z.string().regex(/^\d+(m|Mi|Gi)?$/)
const resources = z.strictObject({ requests: z.strictObject({ cpu: quantity, memory: quantity }), limits: z.strictObject({ memory: quantity }) })
const probe = z.strictObject({ httpGet: z.strictObject({ path: z.string().startsWith('/'), port: z.string() }), periodSeconds: z.number().int().positive() })
const container = z.strictObject({
  name: z.string(),
  image: z.string(),
  args: command,
  ports: z.array(z.strictObject({ containerPort: z.number().int(), name: z.string() })).optional(),
  envFrom: z.array(z.strictObject({ secretRef: z.strictObject({ name: z.string() }) })),
  env: z.array(z.strictObject({ name: z.string(), value: z.string() })),
  readinessProbe: probe.optional(),
  livenessProbe: probe.optional(),
  lifecycle: z.strictObject({ preStop: z.strictObject({ sleep: z.strictObject({ seconds: z.number().int().positive().max(15) }) }) }).optional(),
  resources,
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false), readOnlyRootFilesystem: z.literal(true), capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) })
  }),
  volumeMounts: z.array(z.strictObject({ name: z.string(), mountPath: z.string().startsWith('/'), readOnly: z.literal(true).optional() }))
})
const deployment = z.strictObject({
  apiVersion: z.literal('apps/v1'),
  kind: z.literal('Deployment'),
  metadata,
  spec: z.strictObject({
    replicas: z.number().int().positive(),
    selector: z.strictObject({ matchLabels: label }),
    template: z.strictObject({
      metadata: z.strictObject({ labels: label }),
      spec: z.strictObject({
        automountServiceAccountToken: z.literal(false),
        terminationGracePeriodSeconds: z.number().int().min(30).optional(),
        securityContext: z.strictObject({ runAsNonRoot: z.literal(true), runAsUser: z.number().int().positive(), seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }) }),
        containers: z.array(container).min(1),
        volumes: z.array(z.union([
          z.strictObject({ name: z.string(), secret: z.strictObject({ secretName: z.string() }) }), z.strictObject({ name: z.string(), emptyDir: z.strictObject({}) })
        ]))
      })
    })
  })
})
const service = z.strictObject({
  apiVersion: z.literal('v1'),
  kind: z.literal('Service'),
  metadata,
  spec: z.strictObject({ selector: label, ports: z.array(z.strictObject({ name: z.string(), port: z.number().int(), targetPort: z.string() })) })
})
const manifest = z.discriminatedUnion('kind', [deployment, service])

type Compose = z.infer<typeof compose>
type Deployment = z.infer<typeof deployment>
type Manifest = z.infer<typeof manifest>

/** What the program itself says. */
let commands: readonly string[]
const variables = [...read('src/config.ts').matchAll(/^ {2}([A-Z][A-Z_]+): (?:z\.|httpUrl)/gm)].map(([, name = '']) => name)
const site = parse(read('deploy/site.example.yaml')) as { tenants: { notifications?: { secretEnv: string }; feedbackPage?: { secretEnv: string } }[] }
const secretVariables = site.tenants.flatMap(({ notifications, feedbackPage }) => [notifications, feedbackPage].flatMap((one) => one?.secretEnv ?? []))
const paths = Object.keys(describeApi('http://x').paths)

beforeAll(() => {
  const { stdout } = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('src/cli.ts', root)), '--help'], { encoding: 'utf8' })
  commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map(([, name = '']) => name)
}, 60_000)

function commandFaults(words: readonly string[]): string[] {
  return commands.includes(words[0] ?? '') ? [] : [`no command "${words[0]}"`]
}

function variableFaults(names: readonly string[]): string[] {
  return names.filter((name) => ![...variables, ...secretVariables].includes(name)).map((name) => `no setting ${name}`)
}

function composeFaults(value: unknown): string[] {
  const result = compose.safeParse(value)
  if (!result.success) return result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
  const { services, secrets = {}, volumes = {} } = result.data
  return Object.entries(services).flatMap(([name, one]) => [
    ...Object.keys(one.depends_on ?? {}).filter((other) => !(other in services)).map((other) => `${name}: no service ${other}`),
    ...(one.secrets ?? []).filter((other) => !(other in secrets)).map((other) => `${name}: no secret ${other}`),
    ...(one.volumes ?? []).map((volume) => volume.split(':')[0] ?? '').filter((volume) => !(volume in volumes)).map((volume) => `${name}: no volume ${volume}`),
    ...(one.build ? ownFaults(one) : [])
  ])
}

/** A service made from our own image. */
function ownFaults({ build, command: words = [], environment = {}, ports = [], healthcheck, secrets = [], read_only: readOnly, tmpfs = [] }: Compose['services'][string]): string[] {
  const config = String(environment['JOINTLENS_CONFIG'] ?? '')
  const asked = /127\.0\.0\.1:(\d+)(\/\w+)/.exec(healthcheck?.test.join(' ') ?? '')
  return [
    ...(existsSync(new URL(`deploy/${build?.context}/${build?.dockerfile}`, root)) ? [] : ['no Dockerfile']),
    ...commandFaults(words), ...variableFaults(Object.keys(environment)),
    ...ports.filter((port) => !port.endsWith(`:${PORT}`)).map((port) => `port ${port} is not ours`),
    ...(secrets.some((name) => config === `/run/secrets/${name}`) ? [] : [`JOINTLENS_CONFIG ${config} is no secret`]),
    ...(asked && (Number(asked[1]) !== PORT || !paths.includes(asked[2] ?? '')) ? ['the health check asks an address that does not answer'] : []),
    ...(readOnly && !['/tmp', '/data'].every((path) => tmpfs.includes(path)) ? ['a read-only service without room to write'] : [])
  ]
}

function manifestFaults(values: readonly unknown[]): string[] {
  const found: Manifest[] = []
  const faults: string[] = []
  for (const value of values) {
    const result = manifest.safeParse(value)
    if (result.success) found.push(result.data)
    else faults.push(...result.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`))
  }
  const deployments = found.filter((one): one is Deployment => one.kind === 'Deployment')
  return [...faults, ...deployments.flatMap(deploymentFaults), ...found.flatMap((one) => (one.kind === 'Service' ? serviceFaults(one, deployments) : []))]
}

function deploymentFaults({ metadata: { name, labels }, spec: { selector, template } }: Deployment): string[] {
  const covers = (wanted: Record<string, string>, given: Record<string, string>) => Object.entries(wanted).every(([key, value]) => given[key] === value)
  const { containers, volumes } = template.spec
  return [
    ...(covers(selector.matchLabels, template.metadata.labels) && covers(labels, template.metadata.labels) ? [] : [`${name}: its selector does not find its pods`]),
    ...containers.flatMap((one) => [
      ...commandFaults(one.args), ...variableFaults(one.env.map((variable) => variable.name)),
      ...(one.image === `jointlens:${version}` ? [] : [`${name}: image ${one.image} is not version ${version}`]),
      ...(one.ports ?? []).filter(({ containerPort }) => containerPort !== PORT).map(({ containerPort }) => `${name}: port ${containerPort} is not ours`),
      ...[one.readinessProbe, one.livenessProbe].flatMap((asked) => asked
        ? [...(paths.includes(asked.httpGet.path) ? [] : [`${name}: nothing answers ${asked.httpGet.path}`]),
            ...(one.ports?.some((port) => port.name === asked.httpGet.port) ? [] : [`${name}: no port ${asked.httpGet.port}`])]
        : []),
      ...one.volumeMounts.filter((mount) => !volumes.some((volume) => volume.name === mount.name)).map((mount) => `${name}: no volume ${mount.name}`),
      ...one.env.filter((variable) => variable.name === 'JOINTLENS_CONFIG' && !one.volumeMounts.some(({ mountPath }) => variable.value.startsWith(`${mountPath}/`)))
        .map(() => `${name}: JOINTLENS_CONFIG is not mounted`)
    ])
  ]
}

function serviceFaults({ metadata: { name }, spec }: z.infer<typeof service>, deployments: readonly Deployment[]): string[] {
  const behind = deployments.filter(({ spec: { template } }) => Object.entries(spec.selector).every(([key, value]) => template.metadata.labels[key] === value))
  const names = behind.flatMap(({ spec: { template } }) => template.spec.containers.flatMap(({ ports = [] }) => ports.map((port) => port.name)))
  return [
    ...(behind.length > 0 ? [] : [`${name}: nothing is behind it`]),
    ...spec.ports.filter(({ targetPort }) => !names.includes(targetPort)).map(({ targetPort }) => `${name}: no port ${targetPort}`)
  ]
}

const { version } = JSON.parse(read('package.json')) as { version: string }
const composeText = read('deploy/compose.yaml')
const kubernetesText = read('deploy/kubernetes/jointlens.yaml')
const kubernetes = (source: string) => parseAllDocuments(source).map((one) => one.toJS() as unknown)
/** compose and its aliases (`*settings`). */
const composed = (source: string) => parse(source, { merge: true }) as unknown

test('the program lists its commands', () => {
  expect(commands).toEqual(expect.arrayContaining(['serve', 'work', 'previsit', 'doctor']))
  expect(variables).toContain('DATABASE_URL')
})

describe('deploy/compose.yaml', () => {
  test('is valid, and names only what the program, its settings and its image have', () => {
    expect(composeFaults(composed(composeText))).toEqual([])
  })

  test.each([
    ['["serve"]', '["server"]', 'no command "server"'], ['DATABASE_URL: $', 'DATABASE_URI: $', 'no setting DATABASE_URI'],
    ['8080:8080', '8080:80', 'port 127.0.0.1:8080:80 is not ours'], ['127.0.0.1:8080:8080', '8080:8080', 'services.serve.ports.0'],
    ['/readyz', '/health', 'the health check asks'], ['/run/secrets/site', '/etc/site.yaml', 'is no secret'], ['depends_on: { store', 'depends_on: { db', 'no service db'],
    ['read_only: true', 'readonly: true', 'services.serve'], ['tmpfs: [/tmp, /data]', 'tmpfs: [/tmp]', 'without room to write'],
    ['dockerfile: deploy/Dockerfile', 'dockerfile: Dockerfile', 'no Dockerfile'], ['worklists: {}', 'lists: {}', 'no volume worklists'], ['interval: 10s', 'interval: soon', 'interval']
  ])('with %j as %j is refused', (from, to, fault) => {
    expect(composeText).toContain(from)
    expect(composeFaults(composed(composeText.replace(from, to))).join('\n')).toContain(fault)
  })
})

describe('deploy/kubernetes/jointlens.yaml', () => {
  test('is valid, and names only what the program, its settings and its image have', () => {
    expect(manifestFaults(kubernetes(kubernetesText))).toEqual([])
    expect(kubernetes(kubernetesText)).toHaveLength(3)
  })

  test.each([
    ['args: ["work"]', 'args: ["worker"]', 'no command "worker"'], ['name: JOINTLENS_CONFIG', 'name: JOINTLENS_SITE', 'no setting JOINTLENS_SITE'],
    ['containerPort: 8080', 'containerPort: 80', 'port 80 is not ours'], ['path: /readyz', 'path: /ready', 'nothing answers /ready'], ['targetPort: http', 'targetPort: web', 'no port web'],
    ['matchLabels: { app: jointlens, role: serve }', 'matchLabels: { app: jointlens, role: web }', 'does not find its pods'], ['role: serve }\n  ports', 'role: web }\n  ports', 'nothing is behind it'],
    ['jointlens:0.1.0', 'jointlens:latest', 'is not version'], ['runAsNonRoot: true', 'runAsNonRoot: false', 'runAsNonRoot'], ['replicas: 2', 'replica: 2', 'spec'],
    ['mountPath: /etc/jointlens', 'mountPath: /etc/site', 'is not mounted'], ['name: tmp, emptyDir', 'name: temp, emptyDir', 'no volume tmp'], ['cpu: 500m', 'cpu: half', 'cpu'], ['kind: Service', 'kind: Sevice', 'kind']
  ])('with %j as %j is refused', (from, to, fault) => {
    expect(kubernetesText).toContain(from)
    expect(manifestFaults(kubernetes(kubernetesText.replace(from, to))).join('\n')).toContain(fault)
  })
})

test('deploy/Dockerfile copies what is there, listens where compose and Kubernetes look, and runs as nobody special', () => {
  const lines = read('deploy/Dockerfile').split('\n')
  const copied = lines.flatMap((line) => /^COPY (?!--from)(.+) \S+$/.exec(line)?.[1]?.split(' ') ?? [])
  expect(copied.length).toBeGreaterThan(5)
  expect(copied.filter((path) => !existsSync(new URL(path, root)))).toEqual([])
  const environment = lines.flatMap((line) => /^ENV (.+)$/.exec(line)?.[1]?.split(' ').map((pair) => pair.split('=')) ?? [])
  expect(variableFaults(environment.map(([name = '']) => name).filter((name) => name !== 'NODE_ENV'))).toEqual([])
  expect(Object.fromEntries(environment as [string, string][])).toMatchObject({ HOST: '0.0.0.0', JOINTLENS_DATA: '/data' })
  expect(lines).toEqual(expect.arrayContaining([`EXPOSE ${PORT}`, 'USER node', 'ENTRYPOINT ["node", "bin/jointlens.mjs"]', 'CMD ["serve"]']))
  expect(readConfig({}).port).toBe(PORT)
})

test('deploy/site.example.yaml is a configuration that production takes, and tells when a secret of it is missing', () => {
  const given = { JOINTLENS_CONFIG: fileURLToPath(new URL('deploy/site.example.yaml', root)), DATABASE_URL: 'postgres://jointlens:x@store/jointlens', PUBLIC_URL: 'https://jointlens.example' }
  const secrets = Object.fromEntries(secretVariables.map((name) => [name, 's'.repeat(32)]))
  const config = readConfig({ ...given, ...secrets })
  expect([config.profile, config.tenants[0]?.previsit?.at]).toEqual(['production', '02:00'])
  expect(secretVariables).toHaveLength(2)
  for (const name of secretVariables) {
    expect(() => readConfig({ ...given, ...secrets, [name]: '' })).toThrow(name)
    expect(composeText).toContain(`${name}:`)
  }
  const out = config.tenants[0]?.previsit?.out ?? ''
  expect([composeText.includes(`worklists:${out}`), read('deploy/Dockerfile').includes(out)]).toEqual([true, true])
})
