/** The cost of a long poll that is never woken. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { scene } from "../support/scene.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
let reads = 0;
beforeAll(async () => {
  const database = await freshDatabase();
  const begin = database.sql.begin.bind(database.sql) as (...args: unknown[]) => Promise<unknown>;
  const counted = (...args: unknown[]) => {
    if (String(args[0]).includes("read only")) reads += 1;
    return begin(...args);
  };
  Object.assign(database.sql, { begin: counted });
  t = await startV3({ database, workers: 1 });
});
afterAll(() => t.stop());

it("T18: a long poll that is not woken reads from the database once, like a request without a wait: whatever ends its session would wake it", async () => {
  const { client, room } = scene(t);
  const first = await client.sync({ room_list: {}, typing: { room_id: room } });
  const { next } = await client.sync({}, { since: first.next });
  for (const timeout of [0, 300]) {
    reads = 0;
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await client.sync({}, { since: next, timeout });
    expect(reads, `${timeout} ms`).toBe(1);
  }
});
