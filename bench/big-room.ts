/**
 * `node bench/big-room.ts [--members N] [--times N] [-- FLAGS of the server]`: the member list of a room with very many members, by sync v3:
 * cold and warm first page, changes, far pages, and what the list takes in the database.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startEmbeddedDatabase } from "../src/cli/embedded-database.ts";
import { connect } from "../src/store/db.ts";
import { ev, newRoom, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { withServer } from "./servers.ts";
import { percentile } from "./stats.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { members: { type: "string", default: "50000" }, times: { type: "string", default: "50" } },
});
const times = Number(values.times);
const ROOM = "!big:bench";
const V3 = "/_matrix/client/v3/sync";
/** Beyond this one nothing gets slower: each page is read from the snapshot by its own place. */
const FAR = 500;

type Page = { readonly events: readonly { readonly state_key: string }[]; readonly p: { readonly next?: string } };
type Body = { readonly next: string; readonly room_members?: Page };
type Timed = { readonly ms: number; readonly body: Body };

const homeserver = await startFakeHomeserver();
const profile = (i: number) => ({ displayname: `Name of member ${i}`, avatar_url: `mxc://bench/avatar${i}` });
const members = Array.from({ length: Number(values.members) }, (_, i) => ev.member(`@member${i}:bench`, "join", profile(i)));
const accounts = ["@alice:bench", "@bob:bench"].map((userId) => ({ userId, event: ev.member(userId), token: homeserver.login(userId) }));
const chunk = [...members, ...accounts.map(({ event }) => event)];
homeserver.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(ROOM)}/members`, { body: { chunk } });
for (const { token, event } of accounts) {
  const summary = { "m.joined_member_count": chunk.length, "m.invited_member_count": 0 };
  homeserver.queueSync(
    token,
    v2({ join: { [ROOM]: { state: [...newRoom("@member0:bench"), event], timeline: [ev.message("@member1:bench")], summary } } }),
  );
}

const directory = await mkdtemp(join(tmpdir(), "syncv3-bench-"));
const database = await startEmbeddedDatabase({ directory });
const sql = connect(database.options, 1);
try {
  await withServer(homeserver.url, ["-db", database.dsn, ...positionals], async (url) => {
    const [alice, bob] = accounts;
    if (!alice || !bob) throw new Error("there is no account");
    const sync = (token: string, body: object, since?: string) => timed(url, token, body, since);
    const list = { room_members: { room_id: ROOM } };

    // A session that wants nothing yet: what the account itself takes is not the list's.
    await sync(alice.token, {});
    await sync(bob.token, {});
    const sizes = [await bytes()];
    const cold = await sync(alice.token, list);
    expectPage(cold.body);
    sizes.push(await bytes());
    const second = await sync(bob.token, list);
    sizes.push(await bytes());
    say("first page, cold (with GET /members)", [cold.ms, second.ms]);

    // As autovacuum does within a minute.
    await sql`analyze`;
    const first: number[] = [];
    for (let i = 0; i < times; i += 1) {
      const answer = await sync(alice.token, list);
      expectPage(answer.body);
      first.push(answer.ms);
    }
    say("first page, warm: a new session each", first);

    let { next } = cold.body;
    const deltas: number[] = [];
    for (let i = 0; i < times; i += 1) {
      const changed = ev.member(`@member${i}:bench`, "join", profile(-i));
      homeserver.queueSync(alice.token, v2({ join: { [ROOM]: { timeline: [changed] } } }));
      await homeserver.waitForPoll(alice.token);
      const answer = await sync(alice.token, {}, next);
      if (answer.body.room_members?.events[0]?.state_key !== changed.state_key) throw new Error("the change is not told");
      deltas.push(answer.ms);
      ({ next } = answer.body);
    }
    say("change of one member", deltas);

    const walk = await sync(alice.token, list);
    let since = walk.body.room_members?.p.next;
    const pages: number[] = [];
    while (since !== undefined) {
      const page = await sync(alice.token, { room_members: { p: { since } } }, walk.body.next);
      expectPage(page.body);
      pages.push(page.ms);
      since = page.body.room_members?.p.next;
    }
    say(`pages ${FAR - times} to ${FAR}`, pages.slice(FAR - times - 1, FAR - 1));
    say(`all ${pages.length + 1} pages`, pages);

    const [before = 0, one = 0, two = 0] = sizes;
    const per = (size: number) => `${(size / 1e6).toFixed(1)} MB, ${(size / chunk.length).toFixed(0)} bytes a member`;
    process.stdout.write(`database: ${per(one - before)} for the first account that has the list, ${per(two - one)} for a second one\n`);
  });
} finally {
  await sql.end();
  await database.stop();
  await rm(directory, { recursive: true, force: true });
  await homeserver.stop();
}

async function timed(url: string, token: string, body: object, since?: string): Promise<Timed> {
  const started = performance.now();
  const query = since === undefined ? "" : `?since=${encodeURIComponent(since)}`;
  const response = await fetch(url + V3 + query, { method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(body) });
  const text = await response.text();
  const ms = performance.now() - started;
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  return { ms, body: JSON.parse(text) as Body };
}

function expectPage({ room_members: page }: Body): void {
  if (!page || page.events.length === 0) throw new Error("the answer has no page of members");
}

/** Of all tables with their indexes. */
async function bytes(): Promise<number> {
  await sql`checkpoint`;
  const [row] = await sql<{ bytes: number }[]>`select sum(pg_total_relation_size(relid))::float8 as bytes from pg_stat_user_tables`;
  return row?.bytes ?? Number.NaN;
}

function say(work: string, figures: readonly number[]): void {
  process.stdout.write(`${work}: p50 ${percentile(figures, 50).toFixed(1)} ms, p99 ${percentile(figures, 99).toFixed(1)} ms (${figures.length})\n`);
}
