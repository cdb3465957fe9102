/** The little of oidc-provider 9 that the demo uses; the package brings no types. */
declare module 'oidc-provider' {
  import type { IncomingMessage, ServerResponse } from 'node:http'

  export interface Interaction {
    readonly uid: string
    readonly params: Readonly<Record<string, string | undefined>>
    readonly prompt: { readonly name: string }
  }
  export interface TokenContext {
    readonly oidc?: {
      readonly route?: string
      readonly client?: { readonly clientId: string }
      readonly params?: Readonly<Record<string, string | undefined>>
      readonly result?: { readonly consent?: { readonly grantId?: string } }
      readonly entities?: Readonly<Record<string, { readonly grantId?: string } | undefined>>
    }
    status: number
    type: string
    body: unknown
  }
  export interface Grant {
    addOIDCScope(scope: string): void
    addResourceScope(resource: string, scope: string): void
    save(): Promise<string>
  }

  export default class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>)
    readonly Grant: {
      new (properties: { accountId: string; clientId: string }): Grant
      find(id: string): Promise<Grant | undefined>
    }
    use(middleware: (context: TokenContext, next: () => Promise<void>) => Promise<void>): void
    on(event: string, listener: (...values: unknown[]) => void): void
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
    interactionDetails(request: IncomingMessage, response: ServerResponse): Promise<Interaction>
    interactionFinished(request: IncomingMessage, response: ServerResponse, result: object, options?: { mergeWithLastSubmission?: boolean }): Promise<void>
  }
}
