/**
 * Every error code that leaves JointLens, in one table: HTTP status, CLI exit code (DESIGN.md section 5: 2 bad use,
 * 3 input refused, 4 EHR or network, 5 model) and what it means. docs/errors.md mirrors it; a test keeps both equal.
 */
export const ERROR_CODES = {
  ERR_CONFIG: { status: 500, exit: 2, meaning: 'A setting is missing or wrong; the message names it.' },
  ERR_USAGE: { status: 400, exit: 2, meaning: 'The command line is not understood.' },
  ERR_REQUEST_INVALID: { status: 400, exit: 2, meaning: 'The request body or a parameter does not have the expected form.' },
  ERR_UNAUTHORIZED: { status: 401, exit: 4, meaning: 'The caller could not be authenticated.' },
  ERR_FORBIDDEN: { status: 403, exit: 4, meaning: 'The caller may not do this.' },
  ERR_NOT_FOUND: { status: 404, exit: 2, meaning: 'There is no such thing here.' },
  ERR_METHOD_NOT_ALLOWED: { status: 405, exit: 2, meaning: 'This address does not answer that method.' },
  ERR_CONFLICT: { status: 409, exit: 4, meaning: 'Someone else changed it meanwhile.' },
  ERR_PREFETCH_UNAVAILABLE: { status: 412, exit: 4, meaning: 'Data that the service needs was not sent and could not be read.' },
  ERR_BODY_TOO_LARGE: { status: 413, exit: 3, meaning: 'The request body is larger than allowed.' },
  ERR_MEDIA_TYPE: { status: 415, exit: 3, meaning: 'The content type is not accepted here.' },
  ERR_RATE_LIMITED: { status: 429, exit: 4, meaning: 'Too many requests; wait and try again.' },
  ERR_PHOTO_TOO_LARGE: { status: 413, exit: 3, meaning: 'The photo has more bytes or pixels than allowed.' },
  ERR_PHOTO_FORMAT: { status: 415, exit: 3, meaning: 'The file is not a JPEG, PNG or WebP photo.' },
  ERR_PHOTO_HEIC: { status: 415, exit: 3, meaning: 'HEIC photos cannot be read; send JPEG.' },
  ERR_PHOTO_CORRUPT: { status: 422, exit: 3, meaning: 'The photo is damaged or built to be expensive to decode.' },
  ERR_PHOTO_TIMEOUT: { status: 422, exit: 3, meaning: 'Reading the photo took too long and was stopped.' },
  ERR_PHOTO_UNDATED: { status: 422, exit: 3, meaning: 'The record does not say when the photo was taken.' },
  ERR_PHOTO_UNREACHABLE: { status: 502, exit: 4, meaning: 'The photo could not be fetched from the record.' },
  ERR_CALIBRATION_DATA: { status: 422, exit: 3, meaning: 'The labels are too few, faulty or do not fit the scores; nothing was calibrated.' },
  ERR_MODEL_INVALID: { status: 503, exit: 5, meaning: 'The model bundle is damaged or does not match its manifest.' },
  ERR_MODEL_OUTPUT: { status: 503, exit: 5, meaning: 'The model gave a value that is not a number or not its golden output.' },
  ERR_ENGINE_BUSY: { status: 503, exit: 5, meaning: 'The inference queue is full; try again later.' },
  ERR_EGRESS_REFUSED: { status: 502, exit: 4, meaning: 'An outgoing request was refused by the allow-list.' },
  ERR_EHR_UNREACHABLE: { status: 502, exit: 4, meaning: 'The FHIR server did not answer in time.' },
  ERR_EHR_UNAUTHORIZED: { status: 502, exit: 4, meaning: 'The FHIR server refused our token.' },
  ERR_EHR_REFUSED: { status: 502, exit: 4, meaning: 'The FHIR server refused the request.' },
  ERR_EHR_ANSWER: { status: 502, exit: 4, meaning: 'The FHIR server answered something that is not what was asked for.' },
  ERR_WRONG_PATIENT: { status: 422, exit: 4, meaning: 'A resource belongs to another patient; nothing was written.' },
  ERR_PATIENT_MINOR: { status: 422, exit: 3, meaning: 'The patient is or may be under 18, and the model is not known to be valid for children; nothing was written or is shown.' },
  ERR_WRITE_AMBIGUOUS: { status: 502, exit: 4, meaning: 'The outcome of a write is unknown; it is read back before anything else is sent.' },
  ERR_WRITE_PARTIAL: { status: 502, exit: 4, meaning: 'The FHIR server took a part and refused the next; trying again writes the rest.' },
  ERR_STORE: { status: 503, exit: 4, meaning: 'The store cannot be read or written.' },
  ERR_STORE_LOCKED: { status: 503, exit: 4, meaning: 'Another JointLens process owns the embedded store.' },
  ERR_LEASE_LOST: { status: 409, exit: 4, meaning: 'Another worker took over this screening.' },
  ERR_LAUNCH_REFUSED: { status: 400, exit: 2, meaning: 'The SMART launch cannot be accepted.' },
  ERR_SESSION: { status: 401, exit: 4, meaning: 'The session has ended; open the app again from the record.' },
  ERR_NOT_READY: { status: 503, exit: 5, meaning: 'JointLens is still starting or not ready.' },
  ERR_INTERNAL: { status: 500, exit: 1, meaning: 'Something unexpected happened inside JointLens.' }
} as const satisfies Record<string, { status: number; exit: number; meaning: string }>

export type ErrorCode = keyof typeof ERROR_CODES

/** The outside world failed, or the caller sent something we refuse. The message names the value and what was expected; never PHI. */
export class ScreeningError extends Error {
  override readonly name = 'ScreeningError'
  readonly code: ErrorCode
  /** The server asked not to be called again before this time; milliseconds since the epoch. */
  readonly retryAt?: number
  /** HTTP status that the other server answered, where that tells more than the code. */
  readonly answered?: number

  constructor(code: ErrorCode, message: string, options?: ErrorOptions & { readonly retryAt?: number | undefined; readonly answered?: number | undefined }) {
    super(message, options)
    this.code = code
    if (options?.retryAt !== undefined) this.retryAt = options.retryAt
    if (options?.answered !== undefined) this.answered = options.answered
  }

  get status(): number {
    return ERROR_CODES[this.code].status
  }

  get exitCode(): number {
    return ERROR_CODES[this.code].exit
  }
}

/** Also true for errors that crossed a process, where the class is lost. */
export function isScreeningError(error: unknown): error is ScreeningError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && error.code in ERROR_CODES
}

/** By the status that it goes out with (R4 IssueType). */
function issueType(status: number) {
  if (status >= 500) return 'exception'
  return ({ 401: 'login', 403: 'forbidden', 404: 'not-found', 405: 'not-supported', 409: 'conflict', 412: 'required', 413: 'too-long', 415: 'not-supported', 429: 'throttled' } as const)[status as 401] ?? 'invalid'
}

/** FHIR R4 OperationOutcome for an error, without internals. */
export function operationOutcome(code: ErrorCode, diagnostics?: string) {
  return {
    resourceType: 'OperationOutcome' as const,
    issue: [{
      severity: 'error' as const,
      code: issueType(ERROR_CODES[code].status),
      details: { text: code },
      diagnostics: diagnostics ?? ERROR_CODES[code].meaning
    }]
  }
}
