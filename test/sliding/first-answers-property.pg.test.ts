import { describe, it } from "vitest";
import { expectAnswersAsIfJustStarted } from "../support/first-answers.ts";
import { type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const STATE = ["m.room.name", "m.room.topic", "m.room.power_levels"].map((type) => [type, ""] as const);
const ASKS: readonly Ask[] = [
  { lists: { all: { limit: 1, state: [...STATE, ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]] } }, ext: { receipts: { enabled: true } } },
  { lists: { all: { limit: 5, state: [["*", "*"]] } } },
];

describe.each(DIALECTS)("first answers (%s)", (dialect) => {
  it("M5 M22: are the same whether the server has sent these rooms before or has just started", () =>
    expectAnswersAsIfJustStarted(t, (account) => {
      const client = new SlidingClient(account, dialect);
      return () => Promise.all(ASKS.map((ask, i) => client.sync({ ...ask, connId: `c${i}` })));
    }));
});
