/** Finds the homeserver's base URL from `-server`, and checks that a homeserver answers there. */

import { request } from "undici";

import { parseBaseUrl } from "./base-url.ts";

/** No homeserver was found with `-server`. The message says what was tried and what to do. */
export class BadServer extends Error {
  override readonly name = "BadServer";
}

/** Gets `url` as JSON. Throws if there is no connection. */
export type FetchJson = (url: string, signal: AbortSignal) => Promise<{ readonly status: number; readonly body: unknown }>;

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 1_000_000;

/**
 * A base URL is used as it is, without trailing slashes. A server name is resolved as clients do (Matrix client-server API, "Well-known URI":
 * https://NAME/.well-known/matrix/client, `m.homeserver.base_url`); without such a file it means https://NAME. Either way,
 * `GET /_matrix/client/versions` must answer there.
 * @throws BadServer, BadUrl
 */
export async function resolveServer(server: string, signal?: AbortSignal, fetchJson: FetchJson = getJson): Promise<URL> {
  const limited = (): AbortSignal => AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]);
  const base = /^[a-z][a-z0-9+.-]*:\/\//i.test(server)
    ? parseBaseUrl(server, "-server")
    : await baseOfName(server, (url) => fetchJson(url, limited()));
  const url = `${base.href.replace(/\/+$/, "")}/_matrix/client/versions`;
  let answer: Awaited<ReturnType<FetchJson>>;
  try {
    answer = await fetchJson(url, limited());
  } catch (error) {
    throw new BadServer(`-server: no homeserver can be reached at ${base.href} (${describe(error)}). Is it running, and is the address right?`, {
      cause: error,
    });
  }
  if (answer.status !== 200 || !isVersions(answer.body)) {
    throw new BadServer(
      `-server: what answers at ${base.href} is not a Matrix homeserver (GET ${url}: status ${answer.status}${isObject(answer.body) ? "" : ", no JSON object"}). Check the address, and any proxy in front of the homeserver`,
    );
  }
  return base;
}

async function baseOfName(name: string, get: (url: string) => ReturnType<FetchJson>): Promise<URL> {
  if (!/^[A-Za-z0-9.[\]:-]+$/.test(name) || URL.parse(`https://${name}`) === null) {
    throw new BadServer(`-server: "${name}" is neither a URL (https://matrix.example.org) nor a server name (example.org)`);
  }
  const wellKnown = `https://${name}/.well-known/matrix/client`;
  let answer: Awaited<ReturnType<FetchJson>>;
  try {
    answer = await get(wellKnown);
  } catch (error) {
    throw new BadServer(`-server: ${wellKnown} cannot be reached (${describe(error)}). Give the homeserver's base URL, e.g. http://${name}`, {
      cause: error,
    });
  }
  if (answer.status === 404) return new URL(`https://${name}`);
  const homeserver = isObject(answer.body) ? answer.body["m.homeserver"] : undefined;
  const base = isObject(homeserver) ? homeserver["base_url"] : undefined;
  if (answer.status !== 200 || typeof base !== "string") {
    throw new BadServer(`-server: ${wellKnown} does not name a homeserver (status ${answer.status}). Give the homeserver's base URL instead`);
  }
  return parseBaseUrl(base, "-server");
}

function isVersions(body: unknown): boolean {
  return isObject(body) && Array.isArray(body["versions"]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The reason of an error in a few words: the message of its innermost cause. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `no answer within ${TIMEOUT_MS / 1000} seconds`;
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0]);
  return error.cause instanceof Error ? describe(error.cause) : error.message;
}

async function getJson(url: string, signal: AbortSignal): Promise<{ status: number; body: unknown }> {
  let target = url;
  // Well-known files are often behind a redirect.
  for (let hop = 0; ; hop++) {
    const { statusCode, headers, body } = await request(target, { signal, reset: true, headers: { accept: "application/json" } });
    const location = headers["location"];
    if (hop < 5 && [301, 302, 303, 307, 308].includes(statusCode) && typeof location === "string") {
      await body.dump();
      target = new URL(location, target).href;
      continue;
    }
    let text = "";
    for await (const chunk of body as AsyncIterable<Buffer>) {
      text += chunk.toString();
      if (text.length > MAX_ANSWER_BYTES) throw new Error("the answer is too long");
    }
    return { status: statusCode, body: parse(text) };
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
