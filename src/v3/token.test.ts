import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Position, RoomId, SessionNo } from "../wire/ids.ts";
import { seal } from "../sync/sealed-token.ts";
import { openPageToken, openToken, type PageToken, sealPageToken, sealToken, type SyncToken } from "./token.ts";

const signWith = (key: string) => (data: Buffer) => createHmac("sha256", key).update(data).digest().subarray(0, 16);
const sign = signWith("one");

const place = fc.maxSafeNat();
const tokens: fc.Arbitrary<SyncToken> = fc
  .record({ session: place, state: place, position: place, toDevice: place, e2ee: place, members: place, page: place, feed: place })
  .map(({ session, position, members, feed, ...token }) => {
    return { ...token, session: session as SessionNo, position: position as Position, members: members as Position, feed: feed as Position };
  });

describe("sync tokens (D12)", () => {
  it("read back as they were, URL-safe, within 255 characters", () => {
    fc.assert(
      fc.property(tokens, (token) => {
        const text = sealToken(token, sign);
        expect(text).toMatch(/^[\w-]{1,255}$/);
        expect(openToken(text, sign)).toEqual(token);
      }),
    );
  });

  it("are refused after any change of a byte, and under another key (D3)", () => {
    fc.assert(
      fc.property(tokens, fc.nat(), fc.integer({ min: 1, max: 255 }), (token, at, flip) => {
        const bytes = Buffer.from(sealToken(token, sign), "base64url");
        const i = at % bytes.length;
        bytes[i] = (bytes[i] ?? 0) ^ flip;
        expect(openToken(bytes.toString("base64url"), sign)).toBeNull();
        expect(openToken(sealToken(token, sign), signWith("two"))).toBeNull();
      }),
    );
  });

  it("of before the feed are understood: the feed is where everything is (S6)", () => {
    const token = { session: 1, state: 2, position: 3, toDevice: 4, e2ee: 5, members: 6, page: 7 };
    const old = seal("sync", Buffer.from([1, ...Object.values(token)]), sign);
    expect(openToken(old, sign)).toEqual({ ...token, feed: 3 });
  });

  it("TestNewSyncToken: nothing else is one", () => {
    for (const text of ["", "invalid", "s2082982339_757284961_1_2_3_4_5_6_7", "V3_S1_F6_12_19_11", "1", "=", "ä", "A".repeat(9000)]) {
      expect(openToken(text, sign)).toBeNull();
    }
  });
});

describe("page tokens (D15)", () => {
  const pages: PageToken[] = [
    { stream: "room_list", selection: "x", session: 3 as SessionNo, position: 9 as Position, snapshot: 77, offset: 20 },
    {
      stream: "room_members",
      session: 3 as SessionNo,
      position: 9 as Position,
      roomId: "!a:test" as RoomId,
      membership: ["join"],
      sort: "by_pl",
      after: "@z:test",
    },
  ];

  it.each(pages)("read back as they were: $stream", (page) => {
    const text = sealPageToken(page, sign);
    expect(openPageToken(text, sign)).toEqual(page);
    expect(text).not.toBe("1");
  });

  it("are no sync tokens, nor the other way round", () => {
    for (const page of pages) expect(openToken(sealPageToken(page, sign), sign)).toBeNull();
    for (const token of fc.sample(tokens, 5)) expect(openPageToken(sealToken(token, sign), sign)).toBeNull();
  });
});
