/** What the homeserver lacks of that which clients of sliding sync call, and who does without it (M98). */

import { isUnrecognized } from "../api/endpoints.ts";
import { type Finding, ok, warn } from "./findings.ts";

const ROOM = encodeURIComponent("!doctor:syncv3.invalid");

/** `lost`: what users miss; null: nothing, since syncv3 answers in the homeserver's place. */
type ClientEndpoint = { readonly path: string; readonly name: string; readonly lost: string | null };

const ENDPOINTS: readonly ClientEndpoint[] = [
  {
    path: `v1/room_summary/${ROOM}`,
    name: "room summaries (MSC3266)",
    lost: "syncv3 answers for rooms that a user is in or invited to. Element X shows no preview of others, for example behind a link",
  },
  { path: `v1/rooms/${ROOM}/threads`, name: "lists of threads", lost: null },
  {
    path: `v1/rooms/${ROOM}/relations/${encodeURIComponent("$doctor")}/m.thread`,
    name: "relations",
    lost: "Threads are shown in part in Element X and Element Web, and there are no lists of threads",
  },
  {
    path: `v1/rooms/${ROOM}/hierarchy`,
    name: "spaces (hierarchy)",
    lost: "Element X and Element Web show no rooms of a space that the user has not joined",
  },
  { path: "v1/media/config", name: "authenticated media", lost: "Clients that expect it load no avatars, images and files" },
];

/** Asks without an access token: a homeserver that has the endpoint then asks for one. `base`: without a slash at the end. */
export async function checkEndpoints(base: string, signal: AbortSignal): Promise<Finding[]> {
  const lacking = await Promise.all(
    ENDPOINTS.map(async (endpoint) => ((await isLacking(`${base}/_matrix/client/${endpoint.path}`, signal)) ? [endpoint] : [])),
  );
  const findings = lacking.flat().flatMap(({ name, lost }) => {
    return lost === null ? ok(`the homeserver has no ${name}: syncv3 answers in its place`) : warn(`the homeserver has no ${name}`, lost);
  });
  return findings.length > 0 ? findings : ok("the homeserver has every endpoint that clients of sliding sync call");
}

async function isLacking(url: string, signal: AbortSignal): Promise<boolean> {
  const response = await fetch(url, { signal });
  return isUnrecognized(response.status, await response.text());
}
