import { describe, expect, it } from "vitest";
import type { RoomId } from "./ids.ts";
import { roomSummary, type RoomSummaryParts } from "./room-summary.ts";

const ROOM = "!a:test" as RoomId;
const parts = (contents: Record<string, Record<string, unknown>>): RoomSummaryParts => {
  return { roomId: ROOM, membership: "join", joined: 3, contents: new Map(Object.entries(contents)) };
};

describe("M99: the summary of a room", () => {
  it("M99: has what the state says", () => {
    const summary = roomSummary(
      parts({
        "m.room.create": { type: "m.space", room_version: "11" },
        "m.room.name": { name: "Name" },
        "m.room.topic": { topic: "Topic" },
        "m.room.avatar": { url: "mxc://test/a" },
        "m.room.canonical_alias": { alias: "#a:test" },
        "m.room.join_rules": {
          join_rule: "restricted",
          allow: [
            { type: "m.room_membership", room_id: "!b:test" },
            { type: "other", room_id: "!c:test" },
          ],
        },
        "m.room.history_visibility": { history_visibility: "world_readable" },
        "m.room.guest_access": { guest_access: "can_join" },
        "m.room.encryption": { algorithm: "m.megolm.v1.aes-sha2" },
      }),
    );
    expect(summary).toEqual({
      room_id: ROOM,
      membership: "join",
      num_joined_members: 3,
      world_readable: true,
      guest_can_join: true,
      join_rule: "restricted",
      allowed_room_ids: ["!b:test"],
      name: "Name",
      topic: "Topic",
      avatar_url: "mxc://test/a",
      canonical_alias: "#a:test",
      room_type: "m.space",
      room_version: "11",
      encryption: "m.megolm.v1.aes-sha2",
    });
  });

  it("M99: leaves out what has another type than the specification's, and never calls a room public that does not say so", () => {
    const wrong = parts({
      "m.room.name": { name: 5 },
      "m.room.topic": { topic: "" },
      "m.room.join_rules": { join_rule: {}, allow: "all" },
      "m.room.history_visibility": { history_visibility: true },
      "m.room.guest_access": { guest_access: ["can_join"] },
      "m.room.encryption": { algorithm: null },
    });
    const least = { room_id: ROOM, membership: "join", num_joined_members: 3, world_readable: false, guest_can_join: false, join_rule: "invite" };
    expect(roomSummary(wrong)).toEqual(least);
    expect(roomSummary(parts({}))).toEqual(least);
  });
});
