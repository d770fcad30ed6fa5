import { expect, test } from "vitest";
import { clientAddress } from "./client-address.ts";
import { trustedProxies } from "./trusted-proxies.ts";

const isTrusted = trustedProxies(["10.0.0.0/8", "fd00::/8"]);
const of = (remoteAddress: string | undefined, forwarded?: string) =>
  clientAddress({ socket: { remoteAddress }, headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } }, isTrusted);

test("without a proxy: the client's own address, whatever its headers say", () => {
  expect(of("192.0.2.7")).toBe("192.0.2.7");
  expect(of("192.0.2.7", "198.51.100.1")).toBe("192.0.2.7");
  expect(of("::ffff:192.0.2.7")).toBe("192.0.2.7");
});

test("behind trusted proxies: the last address that is none of them", () => {
  expect(of("10.0.0.1", "192.0.2.7")).toBe("192.0.2.7");
  expect(of("10.0.0.1", "203.0.113.9, 192.0.2.7, 10.0.0.2")).toBe("192.0.2.7");
  expect(of(undefined, "192.0.2.7")).toBe("192.0.2.7");
});

test("IPv6 counts by its network", () => {
  expect(of("2001:db8:1:2:3:4:5:6")).toBe("2001:db8:1:2::/64");
  expect(of("2001:db8:1:2::9")).toBe("2001:db8:1:2::/64");
  expect(of("2001:0DB8::1")).toBe("2001:db8:0:0::/64");
  expect(of("fd00::1", "2001:db8::1")).toBe("2001:db8:0:0::/64");
});

test("this machine, and proxies that do not name the client, have no client address to count", () => {
  for (const peer of ["127.0.0.1", "::1", "::ffff:127.0.0.1", undefined]) expect(of(peer)).toBeNull();
  expect(of("10.0.0.1")).toBeNull();
  expect(of("10.0.0.1", "10.0.0.2")).toBeNull();
  expect(of("10.0.0.1", "192.0.2.7, unknown")).toBeNull();
});
