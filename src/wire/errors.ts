/** All errors that we answer with, in one table of status, errcode and text. Thrown anywhere, turned into a response in one place, at the edge. */

/** Extra members of an error body, e.g. `soft_logout`, `retry_after_ms`. */
export type ErrorExtra = Readonly<Record<string, unknown>>;

/** The body of an error answer, as in the client-server spec's "Standard error response". */
export type ErrorBody = { readonly errcode: string; readonly error: string } & ErrorExtra;

/** An error with the status and the body that a client gets for it. Its message is the body's `error`: never put a secret in it. */
export class MatrixError extends Error {
  override readonly name = "MatrixError";
  /** HTTP status, 400 to 599. */
  readonly status: number;
  /** `M_…`. */
  readonly errcode: string;
  /** Further members of the body. */
  readonly extra: ErrorExtra;
  /** Further response headers. */
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, errcode: string, text: string, extra: ErrorExtra = {}, headers: Readonly<Record<string, string>> = {}) {
    super(text);
    this.status = status;
    this.errcode = errcode;
    this.extra = extra;
    this.headers = headers;
  }

  /** The response body: errcode and error first, they cannot be overridden by `extra`. */
  toBody(): ErrorBody {
    const own = { errcode: this.errcode, error: this.message };
    return { ...own, ...this.extra, ...own };
  }
}

/** No access token in the Authorization header (D2). `text` says so if there was one in the query instead (R2). */
export function missingToken(text = "Missing access token"): MatrixError {
  return new MatrixError(401, "M_MISSING_TOKEN", text);
}

/** The homeserver does not know the token (D2); `softLogout` from its answer. */
export function unknownToken(softLogout = false): MatrixError {
  return new MatrixError(401, "M_UNKNOWN_TOKEN", "Unknown access token", { soft_logout: softLogout });
}

/** The homeserver has locked the account (T17). `body`: the homeserver's answer, a JSON object with `errcode` and `error`. */
export function accountLocked(body: string): MatrixError {
  const { errcode, error, ...extra } = JSON.parse(body) as ErrorBody;
  return new MatrixError(401, errcode, error, extra);
}

/** The body is not JSON (D5). */
export function notJson(text = "The request body is not JSON"): MatrixError {
  return new MatrixError(400, "M_NOT_JSON", text);
}

/** The body has the wrong shape (D5); `field` is its path, e.g. `typing.room_id`, `text` what is wrong with it. */
export function badJson(field: string, text: string): MatrixError {
  return new MatrixError(400, "M_BAD_JSON", field === "" ? text : `${field}: ${text}`);
}

/** The body is over its limit (D5). */
export function tooLarge(text = "The request body is too large"): MatrixError {
  return new MatrixError(413, "M_TOO_LARGE", text);
}

/** A query parameter or page token that cannot be used (D6, D14, D15). */
export function invalidParam(text: string): MatrixError {
  return new MatrixError(400, "M_INVALID_PARAM", text);
}

/** R11, D3: unknown, expired, malformed or someone else's `since`: the same answer for all. */
export function unknownSession(): MatrixError {
  return new MatrixError(400, "M_UNKNOWN_SYNC_SESSION", "Session unknown or expired");
}

/** MSC4186: a sliding sync position that is unknown, expired, malformed or another user's: the client starts the connection from scratch. */
export function unknownPos(): MatrixError {
  return new MatrixError(400, "M_UNKNOWN_POS", "Unknown position");
}

/** An unknown path (404) or an unknown method of a known one (405). */
export function unrecognized(status: 404 | 405 = 404): MatrixError {
  return new MatrixError(status, "M_UNRECOGNIZED", status === 405 ? "Method not allowed" : "Unrecognized request");
}

/** A known resource that does not exist (any more). */
export function notFound(text = "Not found"): MatrixError {
  return new MatrixError(404, "M_NOT_FOUND", text);
}

/** Not for this user (D2 masquerading, D18). */
export function forbidden(text: string): MatrixError {
  return new MatrixError(403, "M_FORBIDDEN", text);
}

/** D21. `retryAfterMs` is in milliseconds, at least 0; the Retry-After header has it in whole seconds, rounded up. */
export function limitExceeded(retryAfterMs: number, text = "Too many requests"): MatrixError {
  const ms = Math.max(0, Math.ceil(retryAfterMs));
  return new MatrixError(429, "M_LIMIT_EXCEEDED", text, { retry_after_ms: ms }, { "retry-after": String(Math.ceil(ms / 1000)) });
}

/** D4: the homeserver is needed, but cannot be reached or gives an unusable answer; `text` names the reason. */
export function badGateway(text: string): MatrixError {
  return new MatrixError(502, "M_UNKNOWN", text);
}

/** We are starting, stopping, or our database fails; `retryAfter`: seconds. */
export function unavailable(text: string, retryAfter = 1): MatrixError {
  return new MatrixError(503, "M_UNKNOWN", text, {}, { "retry-after": String(retryAfter) });
}

/** The fault is ours; the log has the details. */
export function internalError(): MatrixError {
  return new MatrixError(500, "M_UNKNOWN", "Internal server error");
}
