/** OpenAPI 3.1 description of the addresses others may call. Routes are listed by hand; a test calls each of them. */
export function describeApi(publicUrl: string) {
  const outcome = { description: 'OperationOutcome', content: { 'application/fhir+json': { schema: { type: 'object' } } } }
  const json = (description: string) => ({ description, content: { 'application/json': { schema: { type: 'object' } } } })
  const service = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
  return {
    openapi: '3.1.0',
    info: {
      title: 'JointLens',
      version: '0.1.0',
      description: 'Research software: swollen-joint suggestions from hand photos. Learned from computer-made hands; not a medical device.'
    },
    servers: [{ url: publicUrl }],
    paths: {
      '/cds-services': { get: { summary: 'CDS Hooks discovery', responses: { 200: json('Services') } } },
      '/cds-services/{id}': { post: { summary: 'CDS Hooks call', security: [{ cdsClient: [] }], parameters: [service], responses: { 200: json('Cards'), 400: outcome, 401: outcome, 404: outcome, 412: outcome } } },
      '/cds-services/{id}/feedback': { post: { summary: 'CDS Hooks feedback', security: [{ cdsClient: [] }], parameters: [service], responses: { 200: json('Stored'), 400: outcome, 401: outcome } } },
      '/fhir/notifications/{tenant}': { post: {
        summary: 'Subscription notification: R4 rest-hook, R5 Subscriptions Backport', security: [{ subscription: [] }], parameters: [{ ...service, name: 'tenant' }],
        requestBody: { required: false, content: { 'application/fhir+json': { schema: { type: 'object' } } } },
        responses: { 200: { description: 'Kept; what follows from it is on disk' }, 400: outcome, 401: outcome, 404: outcome, 413: outcome, 415: outcome }
      } },
      '/fhir/notifications/{tenant}/{type}/{id}': { put: {
        summary: 'R4 rest-hook with payload: the resource that changed; only its type and id are used', security: [{ subscription: [] }],
        parameters: [{ ...service, name: 'tenant' }, { ...service, name: 'type' }, service], responses: { 200: { description: 'Kept' }, 401: outcome, 413: outcome, 415: outcome }
      } },
      '/smart/launch': { get: { summary: 'SMART App Launch', responses: { 302: { description: 'To the EHR' }, 400: { description: 'Refused' } } } },
      '/smart/callback': { get: { summary: 'SMART redirect back', responses: { 302: { description: 'To the app' }, 400: { description: 'Refused' } } } },
      '/.well-known/jwks.json': { get: { summary: 'Our public keys', responses: { 200: json('JWK set') } } },
      '/models/current': { get: { summary: 'Model manifest and card', responses: { 200: json('Model') } } },
      '/feedback/{tenant}': { get: {
        summary: 'Acceptance and overrides at one site by month, service, model and joint', security: [{ feedbackPage: [] }],
        parameters: [{ ...service, name: 'tenant' }], responses: { 200: json('Rates'), 401: outcome }
      } },
      '/livez': { get: { summary: 'Process is alive', responses: { 200: json('Alive') } } },
      '/readyz': { get: { summary: 'Model verified and store writable', responses: { 200: json('Ready'), 503: json('Not ready') } } },
      '/metrics': { get: { summary: 'Prometheus metrics', security: [{}, { metrics: [] }], responses: { 200: { description: 'Text' }, 401: outcome } } },
      '/openapi.json': { get: { summary: 'This description', responses: { 200: json('OpenAPI') } } }
    },
    components: { securitySchemes: {
      cdsClient: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
      feedbackPage: { type: 'http', scheme: 'basic', description: 'Any user name, and the secret that the site configured as the password; or the secret as a bearer token' },
      metrics: { type: 'http', scheme: 'bearer', description: 'What METRICS_SECRET holds, where it is set' },
      subscription: { type: 'apiKey', in: 'header', name: 'Authorization', description: 'The secret of the Subscription, in the header that the site configured' }
    } }
  }
}
