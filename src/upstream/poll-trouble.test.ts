import { expect, test } from "vitest";

import { testLog } from "../../test/support/logged.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo } from "../wire/ids.ts";
import { PollTrouble } from "./poll-trouble.ts";
import { UpstreamError } from "./upstream-error.ts";

const names = { account: 7 as AccountNo };
const MINUTE = 60_000;

test.each([
  ["rate limits", new UpstreamError("rate_limited", "429"), "exempt this server from the homeserver's rate limits"],
  ["a full disk", Object.assign(new Error("x"), { code: "53100" }), "PostgreSQL's disk is full"],
  ["what cannot be stored", new TypeError("x"), "its answer cannot be stored"],
])("N7: after 10 minutes of %s the log says what to do, then once an hour, and never the content", async (_what, error, remedy) => {
  let now = 0;
  const log = testLog();
  // Nothing can be recorded, but that does not prevent logging.
  const sql = (() => {
    throw new Error("no database");
  }) as unknown as Sql;
  const trouble = new PollTrouble(sql, log.logger, () => now);
  const lines = () => log.text().match(/The account makes no progress/g)?.length ?? 0;
  for (; now < 10 * MINUTE; now += MINUTE) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await trouble.failed(names, error);
    expect(lines()).toBe(0);
  }
  await trouble.failed(names, error);
  expect(lines()).toBe(1);
  expect(log.text()).toContain(remedy);
  now += 30 * MINUTE;
  await trouble.failed(names, error);
  expect(lines()).toBe(1);
  now += 30 * MINUTE;
  await trouble.failed(names, error);
  expect(lines()).toBe(2);
  trouble.ended();
  await trouble.failed(names, error);
  expect(lines()).toBe(2);
});
