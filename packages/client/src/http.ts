/** Requests to a homeserver or to the server in front of it, and what may become of them. */

/** A server, and who asks it. */
export type Server = {
  /** Its base URL: `https://sync.example.org`. */
  readonly baseUrl: string;
  /** The access token of a Matrix device, or where to get it: asked before each request, so that it may be refreshed. */
  readonly accessToken: string | (() => string | Promise<string>);
  /** In place of the global one: to watch or to change requests. */
  readonly fetch?: typeof globalThis.fetch;
};

export type RequestOptions = {
  /** `undefined` is left out. */
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
};

/** The server refuses, with an error as the client-server specification has it. */
export class MatrixError extends Error {
  override readonly name = "MatrixError";
  /** The HTTP status. */
  readonly status: number;
  /** `M_UNKNOWN` where the answer had none. */
  readonly errcode: string;
  /** When to come again, ms; null: the server does not say. */
  readonly retryAfterMs: number | null;

  constructor(status: number, errcode: string, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.status = status;
    this.errcode = errcode;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * One request. The answer's body, parsed.
 * @throws MatrixError where the answer is not 2xx; TypeError, as fetch does, where there is none; SyntaxError where it is 2xx and no JSON
 */
export async function request<Answer>(server: Server, method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
  const { fetch = globalThis.fetch } = server;
  const token = typeof server.accessToken === "string" ? server.accessToken : await server.accessToken();
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(options.query ?? {})) if (value !== undefined) query.set(name, String(value));
  const response = await fetch(`${server.baseUrl.replace(/\/+$/, "")}${path}${query.size > 0 ? `?${query.toString()}` : ""}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(options.body !== undefined && { "content-type": "application/json" }) },
    ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    ...(options.signal && { signal: options.signal }),
  });
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as Answer;
  throw errorOf(response, text);
}

function errorOf(response: Response, text: string): MatrixError {
  const { errcode = "M_UNKNOWN", error = `HTTP ${response.status}`, retry_after_ms } = errorBody(text);
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterMs = retry_after_ms ?? (Number.isFinite(seconds) ? seconds * 1000 : null);
  return new MatrixError(response.status, errcode, error, retryAfterMs);
}

type ErrorBody = { readonly errcode?: string; readonly error?: string; readonly retry_after_ms?: number };

/** Proxies on the way answer with anything. */
function errorBody(text: string): ErrorBody {
  try {
    const body: unknown = JSON.parse(text);
    if (typeof body !== "object" || body === null) return {};
    const { errcode, error, retry_after_ms } = body as Record<string, unknown>;
    return {
      ...(typeof errcode === "string" && { errcode }),
      ...(typeof error === "string" && { error }),
      ...(typeof retry_after_ms === "number" && { retry_after_ms }),
    };
  } catch {
    return {};
  }
}
