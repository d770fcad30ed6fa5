/**
 * `node bench/week.ts [--accounts N] [--rooms N] [--deliveries N] [-- FLAGS of the server]`: a week of a busy community, without its idle
 * time: an hour is a round, in which each account hears what was said in its rooms, clients ask, and retention runs with its times shortened
 * alike. Tells for each day how large the database and the server's memory are.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { silentLogger } from "../src/base/logger.ts";
import { startEmbeddedDatabase } from "../src/cli/embedded-database.ts";
import { connect } from "../src/store/db.ts";
import { RetentionJob } from "../src/upstream/retention-job.ts";
import { ev, type MatrixEvent, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { residentMemory } from "./measure.ts";
import { generator, roomOf } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { Hub } from "../src/feed/hub.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    accounts: { type: "string", default: "500" },
    rooms: { type: "string", default: "2000" },
    /** Events times the accounts that hear them. */
    deliveries: { type: "string", default: "2000000" },
    /** Of each room. */
    members: { type: "string", default: "10" },
  },
});
const [ACCOUNTS, ROOMS, MEMBERS] = [Number(values.accounts), Number(values.rooms), Number(values.members)];
const [DAYS, HOURS] = [7, 24];
const EVENTS_AN_HOUR = Math.round(Number(values.deliveries) / MEMBERS / DAYS / HOURS);
/** An hour of retention's, in the time that a round takes about. */
const KEEP_MS = 1500;
/** Every fifth account has a client that asks every hour, the others ask once a day. */
const FOLLOWING = 5;
const AT_ONCE = 16;

const random = generator(1);
const upTo = (n: number) => Math.floor(random() * n);
const homeserver = await startFakeHomeserver();
const users = Array.from({ length: ACCOUNTS }, (_, n) => {
  const userId = `@user${n}:bench`;
  return { n, userId, token: homeserver.login(userId), rooms: new Map<string, ReturnType<typeof roomOf>>(), pos: "" };
});
type User = (typeof users)[number];
const rooms = Array.from({ length: ROOMS }, (_, i) => {
  const members = [...new Set(Array.from({ length: MEMBERS }, () => users[upTo(ACCOUNTS)]))].filter((user) => user !== undefined);
  const [creator = "", ...others] = members.map((user) => user.userId);
  const parts = roomOf(creator, i, [creator, ...others], random() < 0.3, random);
  const id = `!week${i}:bench`;
  for (const user of members) user.rooms.set(id, parts);
  return { id, members };
});

const directory = await mkdtemp(join(tmpdir(), "syncv3-bench-"));
// As time is shortened, so is the database's own: it looks each minute what is to be cleaned, and takes its time for that.
const database = await startEmbeddedDatabase({ directory, settings: { autovacuum_naptime: "1s", autovacuum_vacuum_cost_delay: "0" } });
const sql = connect(database.options, 2);
const retention = new RetentionJob({ sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * KEEP_MS, keepMs: KEEP_MS });
try {
  await withServer(homeserver.url, ["-db", database.dsn, ...positionals], async (url, pid) => {
    for (const user of users) homeserver.queueSync(user.token, v2({ join: Object.fromEntries(user.rooms) }));
    await each(users, async (user) => {
      await ask(url, user);
      await homeserver.waitForPoll(user.token, 60_000);
    });
    let delivered = 0;
    const spent = { hearing: 0, asking: 0, retention: 0 };
    const timed = async <T>(what: keyof typeof spent, work: () => Promise<T>): Promise<T> => {
      const started = performance.now();
      const result = await work();
      spent[what] += (performance.now() - started) / 1000;
      return result;
    };
    process.stdout.write(
      "| day | deliveries | stored a second | s: ingest / clients / retention | timeline rows | event bodies | database, MB | of it bodies, MB | server, MB |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for (let day = 0; day <= DAYS; day += 1) {
      const { timeline, events, all, bodies } = await sizes();
      const rate = delivered === 0 ? "–" : Math.round(delivered / spent.hearing);
      const times = Object.values(spent)
        .map((seconds) => seconds.toFixed(0))
        .join(" / ");
      const memory = (await residentMemory(pid)).toFixed(0);
      process.stdout.write(`| ${day} | ${delivered} | ${rate} | ${times} | ${timeline} | ${events} | ${all} | ${bodies} | ${memory} |\n`);
      if (day === DAYS) break;
      delivered = 0;
      Object.assign(spent, { hearing: 0, asking: 0, retention: 0 });
      for (let hour = 0; hour < HOURS; hour += 1) {
        const asking = users.filter(({ n }) => n % FOLLOWING === 0 || n % HOURS === hour);
        delivered += await timed("hearing", round);
        await timed("asking", () => each(asking, (user) => ask(url, user)));
        await timed("retention", () => retention.runOnce());
      }
    }
  });
} finally {
  await sql.end();
  await database.stop();
  await rm(directory, { recursive: true, force: true });
  await homeserver.stop();
}

/** What an hour brings each account: most is said in few rooms. How many deliveries that were. */
async function round(): Promise<number> {
  const said = new Map<User, Record<string, { timeline: MatrixEvent[] }>>();
  let deliveries = 0;
  for (let i = 0; i < EVENTS_AN_HOUR; i += 1) {
    const room = rooms[Math.floor(random() ** 3 * ROOMS)];
    const sender = room?.members[upTo(room.members.length)];
    if (!room || !sender) continue;
    const event =
      random() < 0.02
        ? ev.member(sender.userId, "join", { displayname: `Name ${upTo(1000)}` })
        : ev.message(sender.userId, "x".repeat(50 + upTo(300)));
    for (const member of room.members) {
      const mine = said.get(member) ?? {};
      said.set(member, mine);
      (mine[room.id] ??= { timeline: [] }).timeline.push(event);
      deliveries += 1;
    }
  }
  for (const [user, sections] of said) homeserver.queueSync(user.token, v2({ join: sections }));
  await Promise.all([...said.keys()].map(({ token }) => homeserver.waitForPoll(token, 60_000)));
  homeserver.forget();
  return deliveries;
}

/** The next request of a client; one whose position is gone begins anew. */
async function ask(url: string, user: User): Promise<void> {
  const response = await fetch(`${url}${PATH}?timeout=0${user.pos === "" ? "" : `&pos=${encodeURIComponent(user.pos)}`}`, {
    method: "POST",
    headers: { authorization: `Bearer ${user.token}` },
    body: JSON.stringify(listBody("week", 19)),
  });
  const text = await response.text();
  if (response.status === 400 && text.includes("M_UNKNOWN_POS") && user.pos !== "") {
    user.pos = "";
    return await ask(url, user);
  }
  if (!response.ok) throw new Error(`${response.status}: ${text}`);
  user.pos = (JSON.parse(text) as { pos: string }).pos;
}

async function each(of: readonly User[], work: (user: User) => Promise<void>): Promise<void> {
  const left = of.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      // oxlint-disable-next-line no-await-in-loop -- so many at once as there are workers
      for (const user of left) await work(user);
    }),
  );
}

/** Rows, and megabytes with indexes. */
async function sizes() {
  const [row] = await sql<{ timeline: number; events: number; all: number; bodies: number }[]>`
    select (select count(*)::int from timeline) as timeline, (select count(*)::int from events) as events,
      (select (sum(pg_total_relation_size(relid)) / 1e6)::int from pg_stat_user_tables) as all,
      (pg_total_relation_size('events') / 1e6)::int as bodies`;
  if (!row) throw new Error("the database tells nothing");
  return row;
}
