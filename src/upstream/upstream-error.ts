/** What can go wrong when the homeserver is asked: one class, distinguished by `kind`. */

/**
 * - unknown_token: the homeserver does not know the access token (any more); final for that token. See `softLogout`.
 * - locked: the homeserver has locked the account (T17). See `body`.
 * - forbidden: 403 for another reason.
 * - rate_limited: 429. `retryAfterMs` if it said so.
 * - bad_since: it does not know the `since` that we sent (D26).
 * - rejected: any other status that is not 200; `status` and, if there was one, `errcode`.
 * - unreachable: no connection, or a broken one.
 * - timed_out: no answer in time.
 * - bad_answer: 200 with something that is not a Matrix answer.
 * - too_large: an answer of more bytes than are read.
 */
export type UpstreamErrorKind =
  | "unknown_token"
  | "locked"
  | "forbidden"
  | "rate_limited"
  | "bad_since"
  | "rejected"
  | "unreachable"
  | "timed_out"
  | "bad_answer"
  | "too_large";

export type UpstreamErrorDetails = {
  /** HTTP status; null if there was none. */
  readonly status?: number | null;
  readonly errcode?: string | null;
  readonly softLogout?: boolean;
  readonly body?: string | null;
  readonly retryAfterMs?: number | null;
  readonly cause?: unknown;
};

export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  readonly kind: UpstreamErrorKind;
  readonly status: number | null;
  readonly errcode: string | null;
  /** The client may log in again and keep its data (D2). */
  readonly softLogout: boolean;
  /** Of `locked`: the homeserver's answer, as JSON, for clients (see accountLocked); otherwise null. */
  readonly body: string | null;
  /** Milliseconds to wait before the next try, as the homeserver asked; null: it did not. */
  readonly retryAfterMs: number | null;

  constructor(kind: UpstreamErrorKind, message: string, details: UpstreamErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.kind = kind;
    this.status = details.status ?? null;
    this.errcode = details.errcode ?? null;
    this.softLogout = details.softLogout ?? false;
    this.body = details.body ?? null;
    this.retryAfterMs = details.retryAfterMs ?? null;
  }
}

/** Whether the homeserver does not have what was asked for, or not for this user (403, 404). A refused token is another matter. */
export function isNotThere(error: unknown): boolean {
  return error instanceof UpstreamError && (error.kind === "forbidden" || (error.kind === "rejected" && error.status === 404));
}

/** Whether the homeserver is overloaded or away, so that it should be asked less. A read of one room fails for all only with isTroubleForAll. */
export function isHomeserverTrouble({ kind, status }: UpstreamError): boolean {
  return kind === "rate_limited" || kind === "unreachable" || kind === "timed_out" || (status ?? 0) >= 500;
}

/** The wait in milliseconds that the answer asks for: `retry_after_ms` of the body, else Retry-After (seconds or an HTTP date). */
export function retryAfter(body: Readonly<Record<string, unknown>>, header: string | undefined, now: number): number | null {
  const inBody = body["retry_after_ms"];
  if (typeof inBody === "number" && Number.isFinite(inBody) && inBody >= 0) return inBody;
  if (header === undefined) return null;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? null : Math.max(0, date - now);
}

const BAD_SINCE_CODES: ReadonlySet<unknown> = new Set(["M_INVALID_PARAM", "M_UNKNOWN", "M_UNKNOWN_POS"]);

/** The error for a status other than 200. `text` is the body, of whatever kind (a proxy's HTML page, nothing, JSON). */
export function errorOfStatus(
  status: number,
  text: string,
  retryAfterHeader: string | undefined,
  now: number,
  what: { readonly path: string; readonly since: boolean },
): UpstreamError {
  const body = parseObject(text);
  const errcode = typeof body["errcode"] === "string" ? body["errcode"] : null;
  const detail = typeof body["error"] === "string" ? `: ${body["error"].slice(0, 200)}` : "";
  const message = `the homeserver answered ${status}${errcode === null ? "" : ` ${errcode}`} to ${what.path}${detail}`;
  const kind = kindOf(status, errcode, what.since);
  const details: UpstreamErrorDetails = {
    status,
    errcode,
    softLogout: body["soft_logout"] === true,
    body: kind === "locked" ? lockedBody(body) : null,
    retryAfterMs: retryAfter(body, retryAfterHeader, now),
  };
  return new UpstreamError(kind, message, details);
}

/** Longer answers to a locked account's tokens are reduced to what clients know, characters. */
const LONGEST_LOCKED = 10_000;

function lockedBody(body: Readonly<Record<string, unknown>>): string {
  const { errcode, soft_logout } = body;
  const error = typeof body["error"] === "string" ? body["error"] : "The account is locked";
  const full = JSON.stringify({ ...body, error });
  return full.length <= LONGEST_LOCKED ? full : JSON.stringify({ errcode, error: error.slice(0, 1000), soft_logout });
}

/** The second is from before Matrix 1.12 (MSC3939). */
const LOCKED_CODES: ReadonlySet<unknown> = new Set(["M_USER_LOCKED", "ORG_MATRIX_MSC3939_USER_LOCKED"]);

function kindOf(status: number, errcode: string | null, since: boolean): UpstreamErrorKind {
  if ((status === 401 || status === 403) && errcode === "M_UNKNOWN_TOKEN") return "unknown_token";
  if (status === 401 && errcode === "M_MISSING_TOKEN") return "unknown_token";
  if (status === 401 && LOCKED_CODES.has(errcode)) return "locked";
  if (status === 403) return "forbidden";
  if (status === 429 || errcode === "M_LIMIT_EXCEEDED") return "rate_limited";
  if (status === 400 && since && BAD_SINCE_CODES.has(errcode)) return "bad_since";
  return "rejected";
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
