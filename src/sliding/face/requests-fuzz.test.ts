/** Bodies that real clients sent, with something wrong in them: read, or refused with 400; nothing else. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mutated } from "../../../test/support/mutations.ts";
import { MatrixError } from "../../wire/errors.ts";
import type { DeviceNo, UserId } from "../../wire/ids.ts";
import { sealSince } from "./to-device-since.ts";
import { readUnstableRequest } from "./unstable-request.ts";
import { readV4Request } from "./v4-request.ts";

const RUNS = 3000;
const device = 7 as DeviceNo;
const who = { device, userId: "@me:test" as UserId };

const recorded = (
  JSON.parse(readFileSync(join(import.meta.dirname, "../../../test/recordings/sliding-requests.json"), "utf8")) as { body: object }[]
).map(({ body }) => body as Record<string, unknown>);

/** A recorded body as the merged dialect has it: no client speaks that yet. */
function asV4({ lists = {}, extensions = {} }: Record<string, unknown>): Record<string, unknown> {
  const config = {
    timeline_limit: 1,
    required_state: { include: [{ type: "m.room.name", state_key: "" }], exclude: [{ type: "x" }], lazy_members: true },
  };
  return {
    conn_id: "main",
    timeout: 0,
    lists: Object.fromEntries(
      Object.keys(lists as object).map((key) => [key, { ...config, range: [0, 19], filters: { is_dm: true, tags: ["m.favourite"] } }]),
    ),
    room_subscriptions: { "!a:test": config },
    extensions: { ...(extensions as object), to_device: { enabled: true, limit: 100, since: sealSince(device, 3) } },
  };
}

const FACES: Readonly<Record<string, { readonly bodies: readonly Record<string, unknown>[]; readonly read: (body: unknown) => unknown }>> = {
  unstable: { bodies: recorded, read: (body) => readUnstableRequest(body, who) },
  v4: { bodies: recorded.map(asV4), read: (body) => readV4Request(body, device) },
};

describe.each(Object.entries(FACES))("%s", (_, { bodies, read }) => {
  test("the bodies themselves are read", () => {
    for (const body of bodies) expect(read(body)).toBeDefined();
  });

  test("D5: changed ones are read or refused", () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.oneof(...bodies.map(mutated)), (body) => {
        try {
          read(body);
        } catch (error) {
          if (!(error instanceof MatrixError) || error.status !== 400) throw error;
          refused += 1;
        }
      }),
      { numRuns: RUNS },
    );
    // Of both kinds there are many.
    expect(refused).toBeGreaterThan(RUNS / 10);
    expect(refused).toBeLessThan((RUNS * 9) / 10);
  });
});
