import '../support/web-socket.ts'

// Jest's sandbox has its own Object, but structuredClone gives objects of the outer one, which oidc-provider then takes for
// something else than plain metadata. What it clones is JSON.
globalThis.structuredClone = (<T>(value: T): T => value === undefined ? value : JSON.parse(JSON.stringify(value)) as T)
