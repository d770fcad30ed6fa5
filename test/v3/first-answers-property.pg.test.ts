import { it } from "vitest";
import { expectAnswersAsIfJustStarted } from "../support/first-answers.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const LISTS = [
  {
    timeline_limit: 5,
    state_events: [
      ["m.room.topic", ""],
      ["m.room.member", "*"],
    ],
    lazy_load_members: false,
  },
  { timeline_limit: 1, state_events: [["m.room.name", ""]] },
];

it("S5 D22: first answers and pages are the same whether the server has sent these rooms before or has just started", () =>
  expectAnswersAsIfJustStarted(t, (account) => async () => {
    const answers = [];
    for (const list of LISTS) {
      const first = await account.sync({ room_list: { ...list, p: { limit: 1 } } });
      answers.push(first);
      const next = first["room_list"].p.next;
      if (next) answers.push(await account.sync({ room_list: { p: { since: next, limit: 10 } } }, { since: first.next }));
    }
    return answers;
  }));
