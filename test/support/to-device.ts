/** What the tests of to-device messages share. */

import { type Json, toDevice, v2 } from "./fake-homeserver.ts";
import type { Answer, V3Client } from "./v3.ts";

const SENDER = "@bob:test";
export const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";

/** Messages numbered `from` to `to`. */
export const numbered = (from: number, to: number): Json[] => Array.from({ length: to - from + 1 }, (_, i) => toDevice(SENDER, { n: from + i }));
/** A v2 response with messages. */
export const carry = (...messages: Json[]): Json => v2({ to_device: messages });
/** The messages of an answer; undefined: the stream is absent. */
export const messagesOf = (answer: Answer): unknown => answer["to_device"]?.events;

/** The first answer with messages: a further device's first answer does not wait for its own first poll, as the account is known. */
export async function told(client: V3Client, first: Answer): Promise<Answer> {
  return first["to_device"].events.length > 0 ? first : client.sync({}, { since: first.next, timeout: 10_000 });
}

/** How many messages each session of the device holds back (D20), the oldest session first. */
export async function held(client: V3Client): Promise<number[]> {
  const { body } = await client.fetch("GET", SESSIONS);
  const sessions = body["sessions"] as { id: string; to_device_held: number }[];
  return sessions.map((session) => session.to_device_held);
}
