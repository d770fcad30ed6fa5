/**
 * How many small v2 responses are stored a second: 3 events in 2 rooms, a read receipt and typing each.
 * node bench/ingest.ts DSN: an empty database that may be filled.
 */

import { performance } from "node:perf_hooks";

import { parseDsn } from "../src/config/dsn.ts";
import { connect } from "../src/store/db.ts";
import { migrate } from "../src/store/migrate.ts";
import { ev, newRoom, receipt, typing } from "../test/support/events.ts";
import type { V2Parts } from "../test/support/events.ts";
import { TestAccount } from "../test/support/test-account.ts";

const ACCOUNTS = 100;
const ROOMS = 20;
const RUNS = [
  { writers: 1, responses: 1500 },
  { writers: 16, responses: 6000 },
];

const options = parseDsn(process.argv[2] ?? "");
await migrate(options);
const sql = connect(options, 16);
const room = (n: number): string => `!room${n}:bench`;

function small(n: number): V2Parts {
  const sender = "@bob:bench";
  const one = {
    timeline: [ev.message(sender), ev.message(sender)],
    ephemeral: [typing(...(n % 2 === 0 ? [sender] : []))],
    unread: { notification_count: n },
  };
  return { join: { [room(n % ROOMS)]: one, [room((n + 1) % ROOMS)]: { timeline: [ev.message(sender)], ephemeral: [receipt(`$r${n}`, sender)] } } };
}

const print = (text: string): unknown => process.stdout.write(`${text}\n`);
const accounts: TestAccount[] = [];
const started = performance.now();
for (let n = 0; n < ACCOUNTS; n += 1) {
  const account = await TestAccount.create(sql, `@bench${n}:bench`);
  const join = Object.fromEntries(
    Array.from({ length: ROOMS }, (_, each) => [room(each), { state: newRoom(account.me), timeline: [ev.message(account.me)] }]),
  );
  await account.step({ join });
  accounts.push(account);
}
print(`first responses (${ROOMS} rooms, ${ROOMS * 5} events): ${((performance.now() - started) / ACCOUNTS).toFixed(1)} ms each`);

for (const { writers, responses } of RUNS) {
  const times: number[] = [];
  let next = 0;
  const cpu = process.cpuUsage();
  const from = performance.now();
  const write = async (writer: number): Promise<void> => {
    while (next < responses) {
      const n = next;
      next += 1;
      // One writer an account at a time: each writer has accounts of its own.
      const mine = writer + writers * (n % Math.floor(ACCOUNTS / writers));
      const begun = performance.now();
      await accounts[mine]?.step(small(n));
      times.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, writer) => write(writer)));
  const seconds = (performance.now() - from) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  const at = (share: number): string => (times[Math.floor(times.length * share)] ?? 0).toFixed(1);
  print(
    `${writers} at once: ${Math.round(responses / seconds)} responses/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, own CPU ${((user + system) / 1000 / responses).toFixed(2)} ms each`,
  );
}
await sql.end();
