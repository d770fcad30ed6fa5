/** Which request targets may be passed to the homeserver: those below a few prefixes, as every proxy on the way would read them. */

const PREFIXES = ["/_matrix/", "/_synapse/client/", "/.well-known/"] as const;
/** Only if the operator allows it: a homeserver's admin API is seldom meant to be reachable from outside. */
const ADMIN_PREFIX = "/_synapse/admin/";

/**
 * - pass: forward it byte for byte (encoded slashes stay encoded, since room and event ids may contain them).
 * - unknown: below none of the prefixes.
 * - refused: in absolute form, or with dot segments, which a proxy before the homeserver would resolve to another path than we see.
 */
export type TargetKind = "pass" | "unknown" | "refused";

/** Judges a target as it is in the request line. `passAdmin`: a homeserver's admin API is passed too. */
export function judgeTarget(target: string, passAdmin = false): TargetKind {
  if (!target.startsWith("/")) return "refused";
  const path = target.split(/[?#]/, 1)[0] ?? "";
  if (hasDotSegment(path)) return "refused";
  if (passAdmin && path.startsWith(ADMIN_PREFIX)) return "pass";
  return PREFIXES.some((prefix) => path.startsWith(prefix)) ? "pass" : "unknown";
}

/** The decoded segments after the version in a path of the client-server API (`r0`, `v3`, `unstable`, `api/v1`); null for other paths. */
export function clientSegments(target: string): string[] | null {
  const path = segmentsOf(target);
  if (!path || path[0] !== "_matrix" || path[1] !== "client") return null;
  return path.slice(path[2] === "api" ? 4 : 3);
}

/** The decoded segments of a path; null if its escapes are broken. Encoded slashes do not split. */
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
  // Some proxies decode slashes before they resolve "..", and some treat a backslash as one.
  return once
    .replaceAll(/%2f|%5c|\\/gi, "/")
    .split("/")
    .includes("..");
}
