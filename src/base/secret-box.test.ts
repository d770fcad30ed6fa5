import fc from "fast-check";
import { expect, test } from "vitest";

import { SealError, SecretBox } from "./secret-box.ts";

const box = new SecretBox("a secret of the test");

test("a sealed token opens with the same secret and context, and is not readable in between", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string(), (token, context) => {
      const sealed = box.seal(token, context);
      expect(new SecretBox("a secret of the test").open(sealed, context)).toBe(token);
      if (token.length > 3) expect(sealed.includes(Buffer.from(token))).toBe(false);
    }),
  );
});

test("sealing twice gives different bytes", () => {
  expect(box.seal("syt_token", "device 1").equals(box.seal("syt_token", "device 1"))).toBe(false);
});

test("a box does not open with another secret or context, nor if it was altered, truncated or made elsewhere", () => {
  const sealed = box.seal("syt_token", "device 1");
  expect(() => new SecretBox("other").open(sealed, "device 1")).toThrow(SealError);
  expect(() => box.open(sealed, "device 2")).toThrow(SealError);
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed);
    changed.writeUInt8((changed.readUInt8(i) + 1) % 256, i);
    expect(() => box.open(changed, "device 1"), `byte ${i}`).toThrow(SealError);
    expect(() => box.open(sealed.subarray(0, i), "device 1"), `cut at ${i}`).toThrow(SealError);
  }
});

test("the hash of a token depends on token and secret, the signature on the data, and both on their use", () => {
  expect(box.hashToken("a")).toEqual(new SecretBox("a secret of the test").hashToken("a"));
  expect(box.hashToken("a")).not.toEqual(box.hashToken("b"));
  expect(box.hashToken("a")).not.toEqual(new SecretBox("other").hashToken("a"));
  expect(box.hashToken("a")).toHaveLength(32);
  expect(box.sign(Buffer.from("a"))).toHaveLength(16);
  expect(box.sign(Buffer.from("a"))).not.toEqual(box.sign(Buffer.from("b")));
  expect(box.hashToken("a").subarray(0, 16)).not.toEqual(box.sign(Buffer.from("a")));
});

test("an empty secret is refused", () => {
  expect(() => new SecretBox("")).toThrow(RangeError);
});
