/** Presence, as far as the homeserver sends it: it is asked for presence only while a session wants it. */

import { readPresence } from "../../store/ephemeral.ts";
import type { Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

export const presence: Stream<"presence", null> = {
  key: "presence",
  kinds: new Set(["presence"]),
  resolve: () => null,
  selection: () => null,
  async evaluate(context, _params, memory) {
    const from = memory ? context.from.position : 0;
    const events = await readPresence(context.tx, context.account, { from, to: context.to });
    if (memory && events.length === 0) return { ...NO_NEWS, memory };
    return { answer: { events }, news: true, memory: memory ?? {} };
  },
};
