import type { ErrorRequestHandler } from 'express'
import type { Logger } from 'pino'
import { isScreeningError, operationOutcome, ScreeningError, type ErrorCode } from './errors.ts'

/** Codes become HTTP status and OperationOutcome here and nowhere else; express's own handler would log request bodies. */
export function lastResort(log: Logger, clock: () => number = Date.now): ErrorRequestHandler {
  return (error: unknown, _request, response, next) => {
    if (response.headersSent) return next(error)
    const code = codeOf(error)
    const known = isScreeningError(error)
    if (code === 'ERR_INTERNAL') log.error({ code, kind: error instanceof Error ? error.name : typeof error }, 'unexpected')
    if (known && code === 'ERR_RATE_LIMITED' && error.retryAt !== undefined)
      response.set('Retry-After', String(Math.max(1, Math.ceil((error.retryAt - clock()) / 1000))))
    // RFC 6750 section 3: the same for every cause, without one. A page for browsers has named its own way before.
    if (code === 'ERR_UNAUTHORIZED' && !response.hasHeader('WWW-Authenticate')) response.set('WWW-Authenticate', 'Bearer')
    const shown = known && error.status < 500 ? error.message : undefined
    response.status(known ? error.status : statusOf(code)).type('application/fhir+json').json(operationOutcome(code, shown))
  }
}

function codeOf(error: unknown): ErrorCode {
  if (isScreeningError(error)) return error.code
  const type = error instanceof Error && 'type' in error ? error.type : undefined
  if (type === 'entity.too.large') return 'ERR_BODY_TOO_LARGE'
  if (type === 'encoding.unsupported' || type === 'charset.unsupported') return 'ERR_MEDIA_TYPE'
  // A body that does not unpack: the unpacker's own code, with the status that body-parser gave it.
  if (error instanceof Error && 'status' in error && error.status === 400 && 'code' in error) return 'ERR_REQUEST_INVALID'
  if (type === 'entity.parse.failed' || type === 'request.aborted') return 'ERR_REQUEST_INVALID'
  if (error instanceof URIError) return 'ERR_REQUEST_INVALID'
  return 'ERR_INTERNAL'
}

function statusOf(code: ErrorCode): number {
  return new ScreeningError(code, '').status
}
