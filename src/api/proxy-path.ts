/** Which request targets may be passed to the homeserver: what lies below a few prefixes, whatever stands between us and it. */

const PREFIXES = ["/_matrix/", "/_synapse/client/", "/.well-known/"] as const;
/** Only where the operator wants it: a homeserver's admin API is seldom meant to be reached from outside. */
const ADMIN_PREFIX = "/_synapse/admin/";

/**
 * - pass: forward it as it is, byte for byte (encoded slashes stay encoded: room and event ids may hold them).
 * - unknown: below none of the prefixes.
 * - refused: absolute-form, or with dot segments, which a proxy before the homeserver would resolve to another path than we see.
 */
export type TargetKind = "pass" | "unknown" | "refused";

/** Judges a request target as it stands in the request line. `passAdmin`: a homeserver's admin API passes too. */
export function judgeTarget(target: string, passAdmin = false): TargetKind {
  if (!target.startsWith("/")) return "refused";
  const path = target.split(/[?#]/, 1)[0] ?? "";
  if (hasDotSegment(path)) return "refused";
  if (passAdmin && path.startsWith(ADMIN_PREFIX)) return "pass";
  return PREFIXES.some((prefix) => path.startsWith(prefix)) ? "pass" : "unknown";
}

/** What stands behind the version in a path of the client-server API (`r0`, `v3`, `unstable`, `api/v1`), decoded; null for other paths. */
export function clientSegments(target: string): string[] | null {
  const path = segmentsOf(target);
  if (!path || path[0] !== "_matrix" || path[1] !== "client") return null;
  return path.slice(path[2] === "api" ? 4 : 3);
}

/** The decoded segments of a path, or null where its escapes are broken. Encoded slashes do not split. */
export function segmentsOf(target: string): string[] | null {
  const path = target.split(/[?#]/, 1)[0] ?? "";
  try {
    return path.split("/").slice(1).map(decodeURIComponent);
  } catch {
    return null;
  }
}

function hasDotSegment(path: string): boolean {
  const once = path.replaceAll(/%2e/gi, ".");
  if (once.split("/").some((segment) => segment === "." || segment === "..")) return true;
  // Some proxies decode slashes before they resolve "..", and some take a backslash for one.
  return once
    .replaceAll(/%2f|%5c|\\/gi, "/")
    .split("/")
    .includes("..");
}
