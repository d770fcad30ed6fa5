import fc from "fast-check";
import { expect, it } from "vitest";
import { eventText } from "../../wire/event.ts";
import { fragment, joinPieces, type Piece } from "./answer-bytes.ts";

const NOW = 1_800_000_000_000;
const event = (body: string, age_ts: number | null) => ({
  body: JSON.stringify({ type: "m.x", body }),
  room_id: null,
  unsigned: null,
  age_ts,
  txn_id: null,
});
const events = fc.array(
  fc.tuple(
    fc.string({ unit: "grapheme" }),
    fc.oneof(fc.constant(null), fc.integer({ min: -NOW, max: NOW + 1000 }), fc.integer({ min: NOW - 1000, max: NOW })),
  ),
);

it("M43: what was written before reads the same as what is written now, however old its events are", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(events, fc.boolean()), { minLength: 1 }), (rooms) => {
      const parts = rooms.map(([list, isKept]): { piece: Piece; now: string } => {
        const rows = list.map(([body, at]) => event(body, at));
        const now = `[${rows.map((row) => eventText(row, NOW)).join(",")}]`;
        const open = `[${rows.map((row) => eventText(row, null)).join(",")}]`;
        return {
          piece: isKept
            ? fragment(
                open,
                rows.flatMap((row) => row.age_ts ?? []),
              )
            : now,
          now,
        };
      });
      const joined = joinPieces(
        parts.flatMap(({ piece }, i) => [i === 0 ? "[" : ",", piece]),
        NOW,
      );
      expect(JSON.parse(`${joined.toString()}]`)).toEqual(JSON.parse(`[${parts.map(({ now }) => now).join(",")}]`));
    }),
  );
});

it("an age that is longer than any clock says is the longest there is", () => {
  const row = event("x", -(10 ** 15));
  expect(JSON.parse(joinPieces([fragment(eventText(row, null), [-(10 ** 15)])], NOW).toString())).toMatchObject({
    unsigned: { age: 9_999_999_999_999 },
  });
});
