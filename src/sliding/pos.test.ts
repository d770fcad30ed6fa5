import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AccountNo, DeviceNo, Position, SessionNo } from "../wire/ids.ts";
import { isOurs, openPos, type Pos, sealPos, upstreamTokenOf } from "./pos.ts";

const signer = (key: string) => (data: Buffer) => createHmac("sha256", key).update(data).digest().subarray(0, 16);
const sign = signer("ours");
const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const poses: fc.Arbitrary<Pos> = fc.record({
  account: number.map((one) => one as AccountNo),
  device: number.map((one) => one as DeviceNo),
  conn: fc.string({ unit: "grapheme", maxLength: 50 }),
  session: number.map((one) => one as SessionNo),
  state: number,
  mark: number,
  position: number.map((one) => one as Position),
  e2ee: number,
  upstream: fc.string({ unit: "grapheme", maxLength: 200 }),
});
const ONE: Pos = {
  account: 7 as AccountNo,
  device: 5 as DeviceNo,
  conn: "main",
  session: 1 as SessionNo,
  state: 2,
  mark: 9,
  position: 3 as Position,
  e2ee: 4,
  upstream: "s1_2",
};

describe("positions", () => {
  it("M1: return what they were made of, in at most 4096 characters that need no escaping", () => {
    fc.assert(
      fc.property(poses, (pos) => {
        const text = sealPos(pos, sign);
        expect(openPos(text, sign)).toEqual(pos);
        expect(text).toMatch(/^[\w-]{1,4096}$/);
        expect(isOurs(text)).toBe(true);
      }),
    );
  });

  it("M1: altered, cut, padded or under another key they are not ours", () => {
    fc.assert(
      fc.property(poses, fc.nat(), fc.constantFrom(..."aB0_-"), (pos, at, letter) => {
        const text = sealPos(pos, sign);
        const place = at % text.length;
        const altered = text.slice(0, place) + letter + text.slice(place + 1);
        if (altered !== text) expect(openPos(altered, sign)).toBeNull();
        expect(openPos(text.slice(0, place), sign)).toBeNull();
        for (const longer of [`${text}A`, `${text}=`, ` ${text}`, `${text}\n`]) expect(openPos(longer, sign)).toBeNull();
        expect(openPos(text, signer("theirs"))).toBeNull();
      }),
    );
  });

  it("M1 M57: with a homeserver's token that is too long, a position does without it", () => {
    const text = sealPos({ ...ONE, upstream: "t".repeat(4000) }, sign);
    expect(text.length).toBeLessThanOrEqual(4096);
    expect(openPos(text, sign)).toEqual({ ...ONE, upstream: "" });
    expect(upstreamTokenOf(text, ONE.account, sign)).toBe("unknown");
  });

  it("M1: other texts are not ours", () => {
    for (const text of ["", "syncv3_", "syncv3_AAAA", "s123_4", "5/s58_224_0", "0", "null", `syncv3_${"A".repeat(5000)}`]) {
      expect(openPos(text, sign), text).toBeNull();
    }
    fc.assert(fc.property(fc.string(), (text) => openPos(text, sign) === null));
  });

  it("M1: what was signed for another purpose is not a position", () => {
    const data = Buffer.from(JSON.stringify([1, 7, 1, 2, 3, 4, "s1_2"]));
    expect(openPos(`syncv3_${Buffer.concat([data, sign(data)]).toString("base64url")}`, sign)).toBeNull();
  });

  it("M57: are replaced by the homeserver's token, but only for their own account", () => {
    const text = sealPos(ONE, sign);
    expect(upstreamTokenOf(text, ONE.account, sign)).toBe("s1_2");
    expect(upstreamTokenOf(text, 8 as AccountNo, sign)).toBe("unknown");
    expect(upstreamTokenOf(sealPos({ ...ONE, upstream: "" }, sign), ONE.account, sign)).toBe("unknown");
    expect(upstreamTokenOf(`${text}A`, ONE.account, sign)).toBe("unknown");
  });
});
