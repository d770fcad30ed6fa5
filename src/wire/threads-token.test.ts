import fc from "fast-check";
import { expect, it } from "vitest";
import { isHistoryToken } from "./history-token.ts";
import type { EventId, RoomId } from "./ids.ts";
import { readThreadsToken, threadsToken } from "./threads-token.ts";

const id = fc.string({ minLength: 1, maxLength: 60, unit: "grapheme-ascii" });

it("M100: a token of a list of threads is read as what it was made of, and is no other token of ours", () => {
  fc.assert(
    fc.property(id, fc.option(id), fc.string(), (room, after, page) => {
      const token = { room: room as RoomId, page, after: after as EventId | null };
      expect(readThreadsToken(threadsToken(token))).toEqual(token);
      expect(isHistoryToken(threadsToken(token))).toBe(false);
    }),
  );
});

it.each(["", "s5_1", "syncv3~!a:test~$e~s5", "syncv3-threads~", "syncv3-threads~!a:test", "syncv3-threads~%~~s5", "syncv3-threads~~$e~s5"])(
  "M100: %j is no such token",
  (text) => {
    expect(readThreadsToken(text)).toBeNull();
  },
);
