/** What the server says of the account, and of the device's sessions (D20). */

import type { AccountAnswer, SessionsAnswer } from "./api-types.ts";
import { request, type Server } from "./http.ts";

const PATH = "/_matrix/client/unstable/syncv3/sessions";

export type SessionInfo = SessionsAnswer["sessions"][number];

/** All of the device, of both APIs, and its v2 clients. In the order in which they began (D20). @throws MatrixError */
export async function listSessions(server: Server, signal?: AbortSignal): Promise<readonly SessionInfo[]> {
  return (await request<SessionsAnswer>(server, "GET", PATH, { signal })).sessions;
}

/** Ends one: what only it held back of the device's to-device messages goes. @throws MatrixError 404 where there is none */
export async function endSession(server: Server, id: string, signal?: AbortSignal): Promise<void> {
  await request(server, "DELETE", `${PATH}/${encodeURIComponent(id)}`, { signal });
}

/** How far the server is with the account: its first sync may take minutes. @throws MatrixError */
export function accountStatus(server: Server, signal?: AbortSignal): Promise<AccountAnswer> {
  return request<AccountAnswer>(server, "GET", "/_matrix/client/unstable/syncv3/account", { signal });
}
