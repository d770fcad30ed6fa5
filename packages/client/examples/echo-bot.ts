/** Answers each message once, also if it or the server is killed: SERVER=https://… ACCESS_TOKEN=… PLACE=place.json node echo-bot.ts */

import { readFile, rename, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { feed, MatrixError, request, type V3Kept } from "../src/index.ts"; // elsewhere: "@syncv3/client"

const { SERVER: baseUrl = "", ACCESS_TOKEN: accessToken = "", PLACE: place = "place.json" } = process.env;
const server = { baseUrl, accessToken };
const store = {
  load: async () => JSON.parse(await readFile(place, "utf8").catch(() => "null")) as V3Kept | null,
  save: async (kept: V3Kept) => {
    await writeFile(`${place}.new`, JSON.stringify(kept));
    await rename(`${place}.new`, place);
  },
};

/** Sends again until the homeserver has it or refuses it. With the same transaction id it takes it once. */
async function put(path: string, body: object): Promise<void> {
  await request(server, "PUT", path, { body }).catch(async (error: unknown) => {
    if (error instanceof MatrixError && error.status < 500 && error.status !== 429) return console.error(path, error.message);
    await delay((error instanceof MatrixError && error.retryAfterMs) || 500);
    return put(path, body);
  });
}

for await (const { event, gap } of feed({ ...server, store })) {
  if (gap) console.error("Events that could not be had:", gap);
  if (event?.type !== "m.room.message" || event.content["msgtype"] !== "m.text") continue; // bots answer with m.notice
  const body = { msgtype: "m.notice", body: event.content["body"], "m.relates_to": { "m.in_reply_to": { event_id: event.event_id } } };
  await put(`/_matrix/client/v3/rooms/${encodeURIComponent(event.room_id ?? "")}/send/m.room.message/${encodeURIComponent(event.event_id)}`, body);
}
