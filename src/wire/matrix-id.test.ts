import { describe, expect, test } from "vitest";
import { isEventId, isRoomId, isUserId } from "./matrix-id.ts";

const LONG = "a".repeat(248);

describe("N6: ids as ruma accepts them", () => {
  test.each([
    ["@a:test", true],
    ["@:test", true],
    ["@Ünï côde\n:a-b.C3", true],
    ["@a:1.2.3.4:8448", true],
    ["@a:test:+80", true],
    ["@a:[::1]", true],
    ["@a:[2001:db8::1]:443", true],
    [`@${LONG}:test`, true],
    [`@${LONG}ab:test`, false],
    ["a:test", false],
    ["@a", false],
    ["@a:", false],
    ["@a::80", false],
    ["@a:te st", false],
    ["@a:te_st", false],
    ["@a:tést", false],
    ["@a:test:", false],
    ["@a:test:80:80", false],
    ["@a:test:65536", false],
    ["@a:[::g]", false],
    ["@a:[::1", false],
    ["@a:[fe80::1%eth0]", false],
    ["@a\0:test", false],
    ["@\ud800:test", false],
    ["", false],
    [5, false],
    [null, false],
  ])("%j as a user id: %j", (value, expected) => {
    expect(isUserId(value)).toBe(expected);
  });

  test.each([
    ["!a:test", true],
    ["!", true],
    ["!AbC-_of-version-12", true],
    ["!any:thing at all", true],
    ["a:test", false],
    ["#a:test", false],
    ["!\ud800", false],
    [`!${"a".repeat(255)}`, false],
  ])("%j as a room id: %j", (value, expected) => {
    expect(isRoomId(value)).toBe(expected);
  });

  test.each([
    ["$a:test", true],
    ["$", true],
    ["$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg", true],
    ["$a:te st", false],
    ["$a:", false],
    ["a:test", false],
    ["!a:test", false],
  ])("%j as an event id: %j", (value, expected) => {
    expect(isEventId(value)).toBe(expected);
  });
});
