/** T4: history that an admin has purged from a real Synapse, of an account that has it already. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { MatrixEvent } from "../support/events.ts";
import { Front } from "../support/front.ts";
import { shownTexts } from "../support/message-times.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { V3Client } from "../support/v3.ts";

const synapse = sharedSynapse();
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(synapse.url, database.options, { publicUrl: "http://history.test" }).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

/** The texts of all messages before a token, newest first. */
async function textsBefore(client: V3Client, room: string, token: string): Promise<unknown[]> {
  const texts: unknown[] = [];
  for (let from: string | undefined = token; from !== undefined;) {
    const query = new URLSearchParams({ dir: "b", limit: "3", from });
    // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
    const { status, body } = await client.fetch("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages?${query.toString()}`);
    expect(status).toBe(200);
    const chunk = body["chunk"] as MatrixEvent[];
    texts.push(...chunk.flatMap(({ type, content }) => (type === "m.room.message" ? [content["body"]] : [])));
    from = chunk.length > 0 ? (body["end"] as string | undefined) : undefined;
  }
  return texts;
}

it("T4: a fresh client of each API is not shown it, has the room's state, and pages to what the homeserver has", async () => {
  const [admin, me] = [await synapse.users.registerAdmin("admin-t4b"), await synapse.users.registerUser("alice-t4b")];
  const room = await me.createRoom({ preset: "public_chat", name: "purged" });
  const texts = Array.from({ length: 12 }, (_, n) => `message ${n}`);
  const ids: string[] = [];
  for (const text of texts) ids.push(await me.send(room, text)); // oxlint-disable-line no-await-in-loop -- in this order
  const client = front.client(me);
  await expect.poll(() => shownTexts(client, room), { timeout: 20_000 }).toEqual(texts);
  const body = { purge_up_to_event_id: ids[8], delete_local_events: true };
  const { purge_id: id } = await admin.call<{ purge_id: string }>("POST", `/_synapse/admin/v1/purge_history/${encodeURIComponent(room)}`, body);
  const status = async () => (await admin.call<{ status: string }>("GET", `/_synapse/admin/v1/purge_history_status/${id}`)).status;
  await expect.poll(status, { timeout: 20_000 }).toBe("complete");
  // A day later.
  await front.restart();
  await database.sql`update background_asks set due_at = now()`;
  await expect.poll(() => shownTexts(client, room), { timeout: 20_000 }).toEqual(texts.slice(8));
  const first = await client.sync({ room: { room_id: room, timeline_limit: 2, state: [["m.room.name", ""]] } });
  const shown = first["room"].rooms[room];
  expect((shown.timeline.events as MatrixEvent[]).map(({ content }) => content["body"])).toEqual(texts.slice(10));
  expect((shown.state.events as MatrixEvent[]).map(({ content }) => content["name"])).toEqual(["purged"]);
  expect(await textsBefore(client, room, shown.timeline.prev_batch)).toEqual(texts.slice(8, 10).toReversed());
  const list = await client.sync({ room_list: { timeline_limit: 20 } });
  const entry = (list["room_list"].rooms as { room_id: string; prev_batch: string }[]).find(({ room_id }) => room_id === room);
  expect(await textsBefore(client, room, entry?.prev_batch ?? "")).toEqual([]);
});
