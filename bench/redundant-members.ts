/**
 * `node scripts/run.mjs bench/redundant-members.ts`: what `include_redundant_members` adds to the v2 answers that we poll (T13). A real Synapse, an
 * account in 6 rooms of 10 members; two devices poll the same answers, one with it and one without.
 */

import { v2Filter } from "../src/upstream/v2-filter.ts";
import { startSynapse } from "../test/support/synapse.ts";
import type { TestUser } from "../test/support/synapse-api.ts";

const [ROOMS, MEMBERS] = [6, 10];
/** Messages, each of somebody, in some rooms, between two polls. */
const ANSWERS = [
  { name: "1 message", rooms: 1, messages: 1 },
  { name: "5 messages of 5 senders in one room", rooms: 1, messages: 5 },
  { name: "1 message in each of 6 rooms", rooms: 6, messages: 1 },
  { name: "10 messages of 10 senders in each of 6 rooms", rooms: 6, messages: 10 },
] as const;

type Reader = { readonly user: TestUser; readonly isRedundant: boolean; since: string | null };

async function poll(reader: Reader): Promise<number> {
  const own = v2Filter({ rooms: true, presence: false, first: reader.since === null });
  const filter = reader.isRedundant ? own : own.replaceAll(',"include_redundant_members":true', "");
  const since = reader.since === null ? "" : `&since=${encodeURIComponent(reader.since)}`;
  const url = `${reader.user.url}/_matrix/client/v3/sync?timeout=0&filter=${encodeURIComponent(filter)}${since}`;
  const text = await (await fetch(url, { headers: { authorization: `Bearer ${reader.user.accessToken}` } })).text();
  reader.since = (JSON.parse(text) as { next_batch: string }).next_batch;
  return Buffer.byteLength(text);
}

const synapse = await startSynapse({ say: (line) => void process.stderr.write(`${line}\n`) });
try {
  const { users } = synapse;
  const alice = await users.registerUser("redundant");
  const puppets = await Promise.all(Array.from({ length: MEMBERS }, (_, n) => users.registerPuppet(`puppet-${n}`)));
  const rooms: string[] = [];
  for (let n = 0; n < ROOMS; n += 1) {
    const room = await alice.createRoom({ preset: "public_chat", name: `Room ${n}` });
    for (const puppet of puppets) await puppet.join(room);
    rooms.push(room);
  }
  const say = async (messages: number, in_: readonly string[]) => {
    for (const room of in_) await Promise.all(puppets.slice(0, messages).map((one) => one.send(room, "Hello, this is what somebody says.")));
  };
  const lean: Reader = { user: alice, isRedundant: false, since: null };
  const full: Reader = { user: await users.login("redundant", "SECOND"), isRedundant: true, since: null };
  const row = async (name: string) => {
    const [without, more] = [await poll(lean), await poll(full)];
    process.stdout.write(`| ${name} | ${without} | ${more} | ${(((more - without) / without) * 100).toFixed(1)} % |\n`);
  };
  await say(MEMBERS, rooms);
  process.stdout.write("| answer | without, bytes | with, bytes | more |\n|---|---|---|---|\n");
  await row(`first sync of ${ROOMS} rooms`);
  for (const { name, rooms: many, messages } of ANSWERS) {
    // Twice: the second time the device was sent the senders before.
    await say(messages, rooms.slice(0, many));
    await Promise.all([poll(lean), poll(full)]);
    await say(messages, rooms.slice(0, many));
    await row(name);
  }
} finally {
  await synapse.stop();
}
