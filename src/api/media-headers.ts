/** Headers for media: files that users uploaded must not act as a page of the homeserver's address, which is ours now. */

import { segmentsOf } from "./proxy-path.ts";

/** As the client-server spec recommends, "Content repository". The homeserver's own headers take precedence. */
export const MEDIA_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
  "x-content-type-options": "nosniff",
};

/** Whether a request is for a file or its thumbnail: `/_matrix/media/{version}/…`, `/_matrix/client/{version}/media/…`. */
export function asksMedia(method: string, target: string): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const path = segmentsOf(target);
  if (path?.[0] !== "_matrix") return false;
  const at = path.indexOf("media", 1);
  const isMedia = path[1] === "media" || (path[1] === "client" && at > 2);
  return isMedia && path.slice(at + 1, at + 3).some((segment) => segment === "download" || segment === "thumbnail");
}
