/** Headers of passed requests: hop-by-hop ones are removed (RFC 9110, 7.6.1), and the homeserver learns who the client is. */

import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from "node:http";

const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Headers that we set ourselves, or that only a trusted proxy may set. `expect` was answered by our own server. */
const REPLACED: ReadonlySet<string> = new Set([
  "host",
  "expect",
  "forwarded",
  "x-real-ip",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-forwarded-port",
]);

/** Headers that are ours to set if the body is not the homeserver's. */
export const BODY_HEADERS: ReadonlySet<string> = new Set([
  "content-length",
  "content-encoding",
  "etag",
  "content-md5",
  "digest",
  "content-digest",
  "repr-digest",
]);

/**
 * The headers of the upstream request as a flat list of names and values, in the client's order and spelling, with X-Forwarded-For, -Host and
 * -Proto. Incoming ones of those count only from a trusted peer. `drop`: more names to remove, in lower case.
 */
export function upstreamHeaders(request: IncomingMessage, isTrusted: boolean, drop: ReadonlySet<string> = new Set()): string[] {
  const { rawHeaders, headers } = request;
  const ended = connectionOptions(headers.connection);
  const flat: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const [name = "", value = ""] = [rawHeaders[i], rawHeaders[i + 1]];
    const lower = name.toLowerCase();
    if (!HOP_BY_HOP.has(lower) && !REPLACED.has(lower) && !ended.has(lower) && !drop.has(lower)) flat.push(name, value);
  }
  const said = (name: string): string | undefined => (isTrusted ? [headers[name]].flat().join(", ") || undefined : undefined);
  const chain = [said("x-forwarded-for"), request.socket.remoteAddress].filter((one) => one !== undefined);
  if (chain.length > 0) flat.push("X-Forwarded-For", chain.join(", "));
  const host = said("x-forwarded-host") ?? headers.host;
  if (host !== undefined) flat.push("X-Forwarded-Host", host);
  flat.push("X-Forwarded-Proto", said("x-forwarded-proto") ?? ("encrypted" in request.socket ? "https" : "http"));
  return flat;
}

/** The upstream's response headers for the client. `drop`: more names to remove, in lower case. */
export function clientHeaders(headers: IncomingHttpHeaders, drop: ReadonlySet<string> = new Set()): OutgoingHttpHeaders {
  const ended = connectionOptions(headers.connection);
  const passed = Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name) && !ended.has(name) && !drop.has(name));
  return Object.fromEntries(passed);
}

/** Names listed in a Connection header: those headers are hop-by-hop too. */
function connectionOptions(connection: string | string[] | undefined): ReadonlySet<string> {
  return new Set(
    [connection ?? []]
      .flat()
      .join(",")
      .toLowerCase()
      .split(",")
      .map((name) => name.trim()),
  );
}
