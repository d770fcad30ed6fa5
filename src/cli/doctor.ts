/**
 * `syncv3 doctor URL`: looks at the address that clients have, as a client would, and where it can at the inside, and says what is wrong and
 * what to change.
 */

import type { DoctorSettings } from "../config/options.ts";
import { checkDatabase, checkHomeserver } from "./doctor-inside.ts";
import { bad, type Finding, ok, warn } from "./findings.ts";

/** Something is wrong. */
export class Unwell extends Error {
  override readonly name = "Unwell";
}

type Answer = { readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> | null; readonly ms: number };
type Asked = { readonly method?: string; readonly token?: string; readonly body?: object; readonly limitMs?: number };

/** An answer that takes longer says that something stands still, ms. */
const LIMIT_MS = 15_000;
/** Many reverse proxies end what is silent for a minute, ms. */
const LONG_POLL_MS = 65_000;
const SIMPLIFIED = "org.matrix.simplified_msc3575";
const SYNCS = {
  "/_matrix/client/v3/sync": "sync v3",
  "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync": "simplified sliding sync",
  "/_matrix/client/v4/sync": "sliding sync as MSC4186 has it",
};

/** @throws Unwell where clients fail */
export async function doctor(settings: DoctorSettings, say: (line: string) => void, signal: AbortSignal, longPollMs = LONG_POLL_MS): Promise<void> {
  const ask = asker(settings.url, signal);
  let [wrong, warnings] = [0, 0];
  const tell = ({ verdict, what, advice }: Finding): void => {
    if (verdict === "wrong") wrong += 1;
    if (verdict === "warning") warnings += 1;
    say(`${verdict.padEnd(8)} ${what}${advice === undefined ? "" : `\n         ${advice}`}`);
  };
  const reached = await checkVersions(ask);
  for (const finding of reached) tell(finding);
  if (reached.every(({ verdict }) => verdict !== "wrong")) {
    for (const check of [checkSyncs, checkPassing, checkEncoding, checkCors, checkHealth, checkWellKnown]) {
      for (const finding of await check(ask, settings.url)) tell(finding);
    }
    if (settings.token === undefined) {
      say("skipped  long polls: give a user's access token in SYNCV3_TOKEN to have one tried, for 65 s");
    } else {
      say(`         a long poll is tried for ${longPollMs / 1000} s`);
      for (const finding of await checkLongPoll(ask, settings.token, longPollMs)) tell(finding);
    }
  }
  const { server } = settings;
  const inside = { database: await checkDatabase(settings), homeserver: server === undefined ? null : await checkHomeserver(server, signal) };
  for (const finding of [...(inside.database ?? []), ...(inside.homeserver ?? [])]) tell(finding);
  if (!inside.database && !inside.homeserver) say("skipped  the inside: on the server's machine, with its -server, and -db or -data");
  else if (!inside.database) say("skipped  the database: none runs in the data directory; name it with -db, or its directory with -data");
  else if (!inside.homeserver) say("skipped  the homeserver as the server reaches it: name it with -server");
  if (wrong > 0) throw new Unwell(`${wrong} wrong, ${warnings} to look at`);
  say(warnings > 0 ? `Clients are served; ${warnings} to look at` : "All well");
}

type Ask = (path: string, asked?: Asked) => Promise<Answer | string>;

/** A text: why there is no answer. */
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

const LEAD =
  'Lead /_matrix, /_synapse/client and /.well-known/matrix of this address to syncv3, unchanged: see README.md, "Put it in front of your server"';

async function checkVersions(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/_matrix/client/versions");
  if (typeof answer === "string")
    return bad(`the address cannot be reached: ${answer}`, "Is the name right, does it resolve, is the reverse proxy up, does its certificate fit?");
  if (answer.status === 502 || answer.status === 503 || answer.status === 504)
    return bad(`/versions is ${answer.status}`, "The reverse proxy does not reach syncv3, or syncv3 its homeserver: see the log of syncv3");
  if (answer.status !== 200 || !Array.isArray(answer.body?.["versions"]))
    return bad(`/_matrix/client/versions is ${answer.status} and not what a homeserver says`, LEAD);
  const features = answer.body["unstable_features"] as Record<string, unknown> | undefined;
  if (features?.[SIMPLIFIED] !== true) return bad("/_matrix/client/versions lacks the flags of syncv3: the homeserver answers itself", LEAD);
  return ok(`/_matrix/client/versions, in ${Math.round(answer.ms)} ms`);
}

async function checkSyncs(ask: Ask): Promise<Finding[]> {
  const findings = await Promise.all(
    Object.entries(SYNCS).map(async ([path, name]) => {
      const answer = await ask(path, { method: "POST", body: {} });
      if (typeof answer === "string") return bad(`${name}: ${answer}`, LEAD);
      const isOurs = answer.status === 401 && answer.body?.["errcode"] === "M_MISSING_TOKEN" && answer.headers.has("x-request-id");
      if (isOurs) return ok(`${name} is answered by syncv3`);
      if (answer.status === 404 || answer.status === 405) return bad(`${name}: ${answer.status}`, `POST ${path} does not come to syncv3. ${LEAD}`);
      return bad(`${name}: ${answer.status} instead of 401 without a token`, "Does the reverse proxy ask for a password of its own, or block POST?");
    }),
  );
  return findings.flat();
}

async function checkPassing(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/_matrix/client/v3/login");
  if (typeof answer === "string") return bad(`log-ins: ${answer}`, LEAD);
  if (answer.status === 200 && Array.isArray(answer.body?.["flows"])) return ok("what is not syncv3's passes on to the homeserver (log-ins)");
  return bad(`log-ins: ${answer.status}`, "syncv3 does not reach its homeserver: see its log, and -server");
}

/** Ids hold characters that some proxies decode, and `/` where a room alias or a state key has one. */
async function checkEncoding(ask: Ask): Promise<Finding[]> {
  const answer = await ask(`/_matrix/client/v3/directory/room/${encodeURIComponent("#a/b:syncv3.invalid")}`);
  if (typeof answer === "string") return warn(`an encoded slash: ${answer}`, "See below");
  if (typeof answer.body?.["errcode"] === "string" && answer.body["errcode"] !== "M_UNRECOGNIZED") return ok("encoded slashes come through");
  return warn(
    `an encoded slash in a path is changed on the way (${answer.status})`,
    "Have the reverse proxy pass paths as they are: nginx: proxy_pass without a path; Apache: nocanon and AllowEncodedSlashes NoDecode",
  );
}

async function checkCors(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/_matrix/client/v3/sync", { method: "OPTIONS" });
  if (typeof answer === "string") return warn(`OPTIONS: ${answer}`, "Clients in a browser fail");
  const origin = answer.headers.get("access-control-allow-origin");
  if (answer.status < 300 && origin === "*") return ok("clients in a browser are allowed (CORS)");
  if (origin !== null && origin !== "*")
    return warn(`Access-Control-Allow-Origin is ${JSON.stringify(origin)}`, "The reverse proxy adds one of its own: syncv3 says *, leave it at that");
  return warn(`OPTIONS is ${answer.status} without Access-Control-Allow-Origin`, "Let OPTIONS through to syncv3: clients in a browser fail without");
}

async function checkHealth(ask: Ask): Promise<Finding[]> {
  const answer = await ask("/health/ready");
  if (typeof answer !== "string" && answer.body?.["status"] === "ready")
    return warn("/health is public", "It tells nobody much, but is not for the public: lead only the paths above to syncv3");
  return ok("/health is not public");
}

async function checkWellKnown(ask: Ask, url: string): Promise<Finding[]> {
  const answer = await ask("/.well-known/matrix/client");
  if (typeof answer === "string" || answer.status !== 200) {
    return warn(
      "this address has no /.well-known/matrix/client",
      "That of the server name's own site must name this address (-public-url serves one here)",
    );
  }
  const named = (answer.body?.["m.homeserver"] as { base_url?: unknown } | undefined)?.base_url;
  if (typeof named === "string" && named.replace(/\/+$/, "") === url) return ok("/.well-known/matrix/client names this address");
  return warn(
    `/.well-known/matrix/client names ${JSON.stringify(named)}`,
    `Clients go there and past syncv3: give syncv3 -public-url ${url}, or edit the file`,
  );
}

async function checkLongPoll(ask: Ask, token: string, waitMs: number): Promise<Finding[]> {
  const path = "/_matrix/client/v3/sync";
  const first = await ask(path, { method: "POST", token, body: { typing: { room_id: "!doctor:syncv3.invalid" } }, limitMs: LONG_POLL_MS });
  if (typeof first === "string") return bad(`a sync: ${first}`, "See the log of syncv3");
  if (first.status !== 200)
    return bad(
      `a sync is ${first.status} ${JSON.stringify(first.body?.["errcode"] ?? "")}`,
      first.status === 401 ? "SYNCV3_TOKEN is not an access token of this homeserver" : "See the log of syncv3",
    );
  const since = encodeURIComponent(String(first.body?.["next"]));
  const answer = await ask(`${path}?since=${since}&timeout=${waitMs}`, { method: "POST", token, body: {}, limitMs: waitMs + LIMIT_MS });
  const patience =
    "Let the reverse proxy wait for 300 s and more: nginx: proxy_read_timeout 330s; Apache: ProxyTimeout 330; HAProxy: timeout server 330s";
  if (typeof answer === "string") return bad(`a long poll broke off: ${answer}`, patience);
  if (answer.status !== 200) return bad(`a long poll ended with ${answer.status}`, patience);
  return ok(`a long poll, answered after ${Math.round(answer.ms / 1000)} s`);
}
