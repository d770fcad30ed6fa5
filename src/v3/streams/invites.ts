/** Pending invites and knocks. */

import { readInvites } from "../../store/ephemeral.ts";
import type { Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

export const invites: Stream<"invites", null> = {
  key: "invites",
  kinds: new Set(["invites"]),
  resolve: () => null,
  selection: () => null,
  async evaluate(context, _params, memory) {
    const from = memory ? context.from.position : 0;
    const rows = await readInvites(context.tx, context.account, context.ignored, { from, to: context.to });
    const pending = rows.filter((row) => !row.gone);
    const gone = memory ? rows.filter((row) => row.gone) : [];
    if (memory && pending.length === 0 && gone.length === 0) return { ...NO_NEWS, memory };
    const answer = {
      ...((!memory || pending.length > 0) && { pending }),
      ...(gone.length > 0 && { gone: gone.map((row) => row.room_id) }),
    };
    return { answer, news: true, memory: memory ?? {} };
  },
};
