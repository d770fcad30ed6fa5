import { describe, expect, test } from "vitest";
import type { RoomId } from "./ids.ts";
import type { V2JoinedRoom } from "./v2-response.ts";
import { cutResponse } from "./v2-response.ts";

const ROOM = "!a:example.org" as RoomId;

/** The joined room of a response's text. */
const roomOf = (text: string): V2JoinedRoom | undefined => cutResponse(text, 0).join.get(ROOM);
const cutRoom = (room: unknown): V2JoinedRoom | undefined => roomOf(JSON.stringify({ next_batch: "s1", rooms: { join: { [ROOM]: room } } }));

describe("receipts", () => {
  const receipts = (content: unknown): unknown => cutRoom({ ephemeral: { events: [{ content, type: "m.receipt" }] } })?.ephemeral.receipts;

  test("the newest receipt of a user, kind and thread stays", () => {
    expect(receipts({ $1: { "m.read": { "@a:b": { ts: 9 } } }, $2: { "m.read": { "@a:b": { ts: 8 }, "@c:d": { ts: 1 } } } })).toMatchObject([
      { event_id: "$1", user_id: "@a:b" },
      { event_id: "$2", user_id: "@c:d" },
    ]);
  });

  test("the last of equally new ones stays", () => {
    expect(receipts({ $1: { "m.read": { "@a:b": { ts: 9 } } }, $2: { "m.read": { "@a:b": { ts: 9 } } } })).toMatchObject([{ event_id: "$2" }]);
  });

  test("receipts of different threads and kinds stay separate", () => {
    const content = {
      $1: { "m.read": { "@a:b": { ts: 1, thread_id: "$t" } }, "m.read.private": { "@a:b": { ts: 1 } } },
      $2: { "m.read": { "@a:b": { ts: 2 } } },
    };
    expect(receipts(content)).toHaveLength(3);
  });

  test("keep their bytes, also without a time", () => {
    const text = `{"next_batch":"s","rooms":{"join":{"${ROOM}":{"ephemeral":{"events":[{"type":"m.receipt","content":{"$1":{"m.read":{"@a:b":{ "x":1.0 }}}}}]}}}}}`;
    expect(roomOf(text)?.ephemeral.receipts[0]?.data).toBe('{ "x":1.0 }');
  });

  test("with a thread that cannot be stored are left out", () => {
    expect(receipts({ $1: { "m.read": { "@a:b": { ts: 1, thread_id: 5 }, "@c:d": { ts: 1 }, "@e:f": null } } })).toMatchObject([{ user_id: "@c:d" }]);
  });
});

test("no typing users are an empty set, which is not the same as absent", () => {
  expect(cutRoom({ ephemeral: { events: [{ type: "m.typing", content: { user_ids: [] } }] } })?.ephemeral.typing).toEqual([]);
});
