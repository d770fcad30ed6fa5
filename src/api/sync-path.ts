/**
 * Which requests read a device's to-device messages from the homeserver, however their path is spelled (D1, T19).
 *
 * From the route tables of Synapse 1.163 (v2 sync: r0, v3, unstable, and HEAD as GET; sliding sync: unstable/org.matrix.simplified_msc3575;
 * before 1.11x also unstable/org.matrix.msc3575, with /e2ee), Dendrite (r0, v3; v4 and v1|unstable/org.matrix.simplified_msc3575) and tuwunel (r0,
 * v3; unstable/org.matrix.simplified_msc3575, unstable/org.matrix.msc4525, v5), and what older ones had: api/v1, v2_alpha. Paths are
 * recognised more widely than any of them routes: a homeserver that does not know a path answers so.
 */

/** `v2`: GET /sync. `sliding`: any sliding sync of the homeserver. */
export type SyncKind = "v2" | "sliding";

/** What a request reads; null: it is not a sync. `target` as in the request line. */
export function syncKindOf(method: string, target: string): SyncKind | null {
  const segments = spelledOut(target);
  if (segments[0] !== "_matrix" || segments[1] !== "client") return null;
  const rest = segments.slice(segments[2] === "api" ? 4 : 3);
  const [first, second] = rest;
  const isPlain = first === "sync" && rest.length === 1;
  // Only the names of unstable endpoints contain dots.
  const isNamed = first?.includes(".") === true && second === "sync" && (rest.length === 2 || (rest.length === 3 && rest[2] === "e2ee"));
  if (isPlain && (method === "GET" || method === "HEAD")) return "v2";
  return (isPlain && method === "POST") || (isNamed && ["GET", "HEAD", "POST", "PUT"].includes(method)) ? "sliding" : null;
}

/** A proxy between us and the homeserver may decode a path once more. */
const MOST_DECODINGS = 4;

/** The segments of a path, without empty ones, in lower case, with all escapes decoded, slashes too. */
function spelledOut(target: string): string[] {
  let path = target.split(/[?#]/, 1)[0] ?? "";
  for (let i = 0; i < MOST_DECODINGS && path.includes("%"); i += 1) path = decoded(path);
  return path
    .toLowerCase()
    .split("/")
    .filter((segment) => segment !== "");
}

/** Escapes of ASCII characters; others do not occur in these paths. */
function decoded(path: string): string {
  return path.replace(/%([0-7][0-9a-f])/gi, (_escape, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

export const V3_SYNC = "/_matrix/client/v3/sync";

/** The API that a request belongs to, for metrics. */
export function faceOf(method: string, path: string): string {
  if (path === V3_SYNC && method === "POST") return "v3";
  if (path.endsWith("/v4/sync")) return "v4";
  const sync = syncKindOf(method, path);
  if (sync !== null) return sync;
  return path.startsWith("/health/") ? "health" : "passed";
}
