/** The device's sessions on the server (D20). */

import type { SessionsAnswer } from "./api-types.ts";
import { request, type Server } from "./http.ts";

const PATH = "/_matrix/client/unstable/syncv3/sessions";

export type SessionInfo = SessionsAnswer["sessions"][number];

/** All of the device, of both APIs, and its v2 clients. The last used first. @throws MatrixError */
export async function listSessions(server: Server, signal?: AbortSignal): Promise<readonly SessionInfo[]> {
  return (await request<SessionsAnswer>(server, "GET", PATH, { signal })).sessions;
}

/** Ends one: what only it held back of the device's to-device messages goes. @throws MatrixError 404 where there is none */
export async function endSession(server: Server, id: string, signal?: AbortSignal): Promise<void> {
  await request(server, "DELETE", `${PATH}/${encodeURIComponent(id)}`, { signal });
}
