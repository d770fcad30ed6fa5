/**
 * `syncv3 doctor URL`: checks the address that clients use, as a client would, and the inside of the server where possible. It reports what
 * is wrong and what to change.
 */

import type { DoctorSettings } from "../config/options.ts";
import { checkDatabase, checkHomeserver } from "./doctor-inside.ts";
import { counted } from "../base/counted.ts";
import { bad, type Finding, ok, warn } from "./findings.ts";

/** At least one check found an error. */
export class Unwell extends Error {
  override readonly name = "Unwell";
}

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> | null; readonly ms: number };
type Asked = { readonly method?: string; readonly token?: string; readonly body?: object; readonly limitMs?: number };

/** A request without an answer for this long has failed, ms. */
const LIMIT_MS = 15_000;
/** Longer than the minute after which many reverse proxies end a silent request, ms. */
const LONG_POLL_MS = 65_000;
const SIMPLIFIED = "org.matrix.simplified_msc3575";
const SYNCS = {
  "/_matrix/client/v3/sync": "sync v3",
  "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync": "simplified sliding sync",
  "/_matrix/client/v4/sync": "sliding sync (MSC4186)",
};

/** @throws Unwell if a check found an error */
export async function doctor(settings: DoctorSettings, say: (line: string) => void, signal: AbortSignal, longPollMs = LONG_POLL_MS): Promise<void> {
  const ask = asker(settings.url, signal);
  let [errors, warnings] = [0, 0];
  const tell = ({ verdict, what, advice }: Finding): void => {
    if (verdict === "error") errors += 1;
    if (verdict === "warning") warnings += 1;
    say(`${verdict.padEnd(8)} ${what}${advice === undefined ? "" : `\n         ${advice}`}`);
  };
  const reached = await checkVersions(ask);
  for (const finding of reached) tell(finding);
  if (reached.every(({ verdict }) => verdict !== "error")) {
    for (const check of [checkSyncs, checkPassing, checkEncoding, checkCors, checkHealth, checkWellKnown]) {
      for (const finding of await check(ask, settings.url)) tell(finding);
    }
    if (settings.token === undefined) {
      say("skipped  long polls: set SYNCV3_TOKEN to a user's access token to try one for 65 s");
    } else {
      say(`         trying a long poll for ${longPollMs / 1000} s`);
      for (const finding of await checkLongPoll(ask, settings.token, longPollMs)) tell(finding);
    }
  }
  const { server } = settings;
  const inside = { database: await checkDatabase(settings), homeserver: server === undefined ? null : await checkHomeserver(server, signal) };
  for (const finding of [...(inside.database ?? []), ...(inside.homeserver ?? [])]) tell(finding);
  if (!inside.database && !inside.homeserver)
    say("skipped  the inside of the server: run this on its machine, with its -server, and its -db or -data");
  else if (!inside.database) say("skipped  the database: none is running in the data directory. Give its -db or -data");
  else if (!inside.homeserver) say("skipped  the connection to the homeserver: give its address with -server");
  if (errors > 0) throw new Unwell(`${counted(errors, "error")}, ${counted(warnings, "warning")}: see above for what to change`);
  say(warnings > 0 ? `Clients are served; ${counted(warnings, "warning")}` : "No problems found");
}

type Ask = (path: string, asked?: Asked) => Promise<Answer | string>;

/** A string instead of an answer is the reason why there is none. */
function asker(base: string, signal: AbortSignal): Ask {
  return async (path, { method = "GET", token, body, limitMs = LIMIT_MS } = {}) => {
    const startedAt = performance.now();
    try {
      const response = await fetch(base + path, {
        method,
        redirect: "manual",
        signal: AbortSignal.any([signal, AbortSignal.timeout(limitMs)]),
        headers: { origin: "https://app.example.org", ...(token !== undefined && { authorization: `Bearer ${token}` }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, headers: response.headers, body: parsed(text), ms: performance.now() - startedAt };
    } catch (error) {
      if (signal.aborted) throw error;
      const { cause } = error as { cause?: unknown };
      return cause instanceof Error ? cause.message : error instanceof Error ? error.message : String(error);
    }
  };
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

const ROUTE =
  'Have the reverse proxy send /_matrix, /_synapse/client and /.well-known/matrix of this address to syncv3, unchanged: see README.md, "Put it in front of your server"';

async function checkVersions(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/_matrix/client/versions");
  if (typeof answer === "string")
    return bad(`the address cannot be reached: ${answer}`, "Check the name, its DNS entry, the reverse proxy and its certificate");
  if (answer.status === 502 || answer.status === 503 || answer.status === 504)
    return bad(
      `/versions answers ${answer.status}`,
      "Either the reverse proxy does not reach syncv3, or syncv3 does not reach its homeserver: see the log of syncv3",
    );
  if (answer.status !== 200 || !Array.isArray(answer.body?.["versions"]))
    return bad(`/_matrix/client/versions answers ${answer.status}, and not like a homeserver`, ROUTE);
  const features = answer.body["unstable_features"] as Record<string, unknown> | undefined;
  if (features?.[SIMPLIFIED] !== true)
    return bad("/_matrix/client/versions lacks the flags of syncv3: requests reach the homeserver directly", ROUTE);
  return ok(`/_matrix/client/versions answers in ${Math.round(answer.ms)} ms`);
}

async function checkSyncs(ask: Ask): Promise<Finding[]> {
  const findings = await Promise.all(
    Object.entries(SYNCS).map(async ([path, name]) => {
      const answer = await ask(path, { method: "POST", body: {} });
      if (typeof answer === "string") return bad(`${name}: ${answer}`, ROUTE);
      const isOurs = answer.status === 401 && answer.body?.["errcode"] === "M_MISSING_TOKEN" && answer.headers.has("x-request-id");
      if (isOurs) return ok(`${name} is answered by syncv3`);
      if (answer.status === 404 || answer.status === 405) return bad(`${name}: ${answer.status}`, `POST ${path} does not reach syncv3. ${ROUTE}`);
      return bad(`${name}: ${answer.status} instead of 401 without a token`, "Check whether the reverse proxy asks for a password or blocks POST");
    }),
  );
  return findings.flat();
}

async function checkPassing(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/_matrix/client/v3/login");
  if (typeof answer === "string") return bad(`log-ins: ${answer}`, ROUTE);
  if (answer.status === 200 && Array.isArray(answer.body?.["flows"])) return ok("other requests reach the homeserver (tried with log-ins)");
  return bad(`log-ins: ${answer.status}`, "syncv3 does not reach its homeserver: see its log, and check -server");
}

/** IDs contain characters that some proxies decode. Room aliases and state keys may even contain `/`. */
const ENCODING = "Have the reverse proxy pass paths unchanged: nginx: proxy_pass without a path; Apache: nocanon and AllowEncodedSlashes NoDecode";

async function checkEncoding(ask: Ask): Promise<Finding[]> {
  const answer = await ask(`/_matrix/client/v3/directory/room/${encodeURIComponent("#a/b:syncv3.invalid")}`);
  if (typeof answer === "string") return warn(`an encoded slash: ${answer}`, ENCODING);
  if (typeof answer.body?.["errcode"] === "string" && answer.body["errcode"] !== "M_UNRECOGNIZED") return ok("encoded slashes arrive unchanged");
  return warn(`an encoded slash in a path is changed on the way (${answer.status})`, ENCODING);
}

async function checkCors(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/_matrix/client/v3/sync", { method: "OPTIONS" });
  if (typeof answer === "string") return warn(`OPTIONS: ${answer}`, "Let OPTIONS through to syncv3: clients in browsers fail without it");
  const origin = answer.headers.get("access-control-allow-origin");
  if (answer.status < 300 && origin === "*") return ok("clients in browsers are allowed (CORS)");
  if (origin !== null && origin !== "*")
    return warn(
      `Access-Control-Allow-Origin is ${JSON.stringify(origin)}`,
      "The reverse proxy changes this header: let it pass on the * that syncv3 sends",
    );
  return warn(
    `OPTIONS answers ${answer.status} without Access-Control-Allow-Origin`,
    "Let OPTIONS through to syncv3: clients in browsers fail without it",
  );
}

async function checkHealth(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/health/ready");
  if (typeof answer !== "string" && answer.body?.["status"] === "ready")
    return warn(
      "/health is public",
      "It reveals little, but should not be public: send only /_matrix, /_synapse/client and /.well-known/matrix to syncv3",
    );
  return ok("/health is not public");
}

async function checkWellKnown(ask: Ask, url: string): Promise<Finding[]> {
  const answer = await ask("/.well-known/matrix/client");
  if (typeof answer === "string" || answer.status !== 200) {
    return warn(
      "this address has no /.well-known/matrix/client",
      "The file on the site of your server name must name this address. With -public-url, syncv3 also serves one here",
    );
  }
  const named = (answer.body?.["m.homeserver"] as { base_url?: unknown } | undefined)?.base_url;
  if (typeof named === "string" && named.replace(/\/+$/, "") === url) return ok("/.well-known/matrix/client names this address");
  return warn(
    `/.well-known/matrix/client names ${JSON.stringify(named)}`,
    `Clients use that address and bypass syncv3: start syncv3 with -public-url ${url}, or edit the file`,
  );
}

async function checkLongPoll(ask: Ask, token: string, waitMs: number): Promise<Finding[]> {
  const path = "/_matrix/client/v3/sync";
  const first = await ask(path, { method: "POST", token, body: { typing: { room_id: "!doctor:syncv3.invalid" } }, limitMs: LONG_POLL_MS });
  if (typeof first === "string") return bad(`a sync request: ${first}`, "See the log of syncv3");
  if (first.status !== 200)
    return bad(
      `a sync request is answered with ${first.status} ${JSON.stringify(first.body?.["errcode"] ?? "")}`,
      first.status === 401 ? "SYNCV3_TOKEN is not an access token of this homeserver" : "See the log of syncv3",
    );
  const since = encodeURIComponent(String(first.body?.["next"]));
  const answer = await ask(`${path}?since=${since}&timeout=${waitMs}`, { method: "POST", token, body: {}, limitMs: waitMs + LIMIT_MS });
  const patience =
    "Let the reverse proxy wait for more than 300 s: nginx: proxy_read_timeout 330s; Apache: ProxyTimeout 330; HAProxy: timeout server 330s";
  if (typeof answer === "string") return bad(`a long poll was cut off: ${answer}`, patience);
  if (answer.status !== 200) return bad(`a long poll ended with ${answer.status}`, patience);
  return ok(`a long poll was answered after ${Math.round(answer.ms / 1000)} s`);
}
