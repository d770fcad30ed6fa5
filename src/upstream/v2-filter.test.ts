import { expect, test } from "vitest";
import { v2Filter } from "./v2-filter.ts";

test("T13: polls for rooms ask for lazy members, those that the device was sent before too", () => {
  for (const first of [true, false]) {
    const { room } = JSON.parse(v2Filter({ rooms: true, presence: false, first })) as { room: Record<string, object> };
    for (const part of ["state", "timeline"]) {
      expect(room[part], part).toMatchObject({ lazy_load_members: true, include_redundant_members: true });
    }
  }
});
