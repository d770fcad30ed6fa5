/**
 * `npm run demo`: a homeserver, a small population, syncv3 in front of it, and a session of calls that are really made.
 * Everything runs on loopback, in directories of its own, and ends with the demo.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../test/support/command.ts";
import { startSynapse } from "../test/support/synapse.ts";
import { populate } from "./population.ts";
import { CurlSession } from "./session.ts";

const SYNC = "/_matrix/client/v3/sync";
const print = (text: string): void => void process.stdout.write(text);
const since = (token: string, timeout = 0) => `${SYNC}?since=${token}${timeout > 0 ? `&timeout=${timeout}` : ""}`;

print("Starting Synapse\n");
const synapse = await startSynapse({ say: (line) => print(`${line}\n`) });
const directory = await mkdtemp(join(tmpdir(), "syncv3-demo-"));
try {
  print("Making users and rooms\n");
  const { alice, bob, team } = await populate(synapse.users);
  print("Starting syncv3\n");
  const command = runCommand(["-server", synapse.url, "-data", directory, "-port", "127.0.0.1:0", "-loglevel", "warn"]);
  try {
    const url = (await command.line(/^ *listening +http/)).trim().split(/ +/)[1] ?? "";
    print(`\nURL=${url}\nTOKEN=(alice's access token)\n`);
    await session(new CurlSession(url, alice.accessToken, print));
  } finally {
    command.signal("SIGTERM");
    await command.ended;
  }

  async function session(curl: CurlSession): Promise<void> {
    curl.say("A session starts with a request without `since`. The list, two rooms at a time, the newest first:");
    const list = { room_list: { p: { limit: 2, sort: ["by_recency"] } } };
    const first = await curl.call({ path: SYNC, body: list });
    curl.say("The next page of the same snapshot; `since` does not advance:");
    await curl.call({ path: since(first.next), body: { room_list: { p: { since: first.room_list.p.next } } } });

    curl.say("A room is opened: its timeline and state, who is in it, who is typing. The list goes on by itself: parameters are sticky.");
    const opened = await curl.call({
      path: since(first.next),
      body: {
        room: {
          room_id: team,
          timeline_limit: 2,
          state: [
            ["m.room.topic", ""],
            ["m.room.name", ""],
          ],
        },
        room_members: { room_id: team, p: { sort: "by_name" } },
        typing: { room_id: team },
      },
    });

    curl.say("A long poll, 30 seconds at most. Bob types, and it answers with that alone:");
    const typed = await curl.call({ path: since(opened.next, 30_000), body: {} }, () => bob.typing(team, true));
    curl.say("Bob sends a message:");
    const message = await curl.call({ path: since(typed.next, 30_000), body: {} }, async () => void (await bob.send(team, "I am on my way")));

    curl.say(
      "Another process of the same device (say, a notification extension) starts a session for to-device messages alone. Bob's device sends one:",
    );
    const extension = await curl.call({ path: SYNC, body: { to_device: {} } });
    await curl.call({ path: since(extension.next, 30_000), body: {} }, () =>
      bob.sendToDevice("m.demo", { [alice.userId]: { [alice.deviceId]: { hello: "phone" } } }),
    );
    curl.say("The first session asks for them too, and has not missed it: it is kept until both have acknowledged it.");
    await curl.call({ path: since(message.next), body: { to_device: { limit: 10 }, typing: null } });
    curl.say("The device's sessions:");
    await curl.call({ method: "GET", path: "/_matrix/client/unstable/syncv3/sessions" });

    curl.say("A token that the server does not know (any more): the client starts again without `since`.");
    await curl.call({ path: since("someone_elses_token"), body: {} });
  }
} finally {
  await synapse.stop();
  await rm(directory, { recursive: true, force: true });
}
