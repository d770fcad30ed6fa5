import { expect, test } from "vitest";
import { trustedProxies } from "./trusted-proxies.ts";

test("addresses and networks of both families", () => {
  const isTrusted = trustedProxies(["10.0.0.0/8", "192.0.2.7", "fd00::/8"]);
  for (const address of ["10.1.2.3", "192.0.2.7", "fd12::1", "::ffff:10.0.0.1", undefined]) expect(isTrusted(address), String(address)).toBe(true);
  for (const address of ["11.0.0.1", "192.0.2.8", "fe80::1", "127.0.0.1"]) expect(isTrusted(address), address).toBe(false);
  expect(trustedProxies([])("127.0.0.1")).toBe(false);
});

test.each(["proxy.example", "10.0.0.0/33", "10.0.0.0/x", "10.0.0.0/", "::1/129", "1.2.3.4/8/8", ""])("%s is refused", (entry) => {
  expect(() => trustedProxies([entry])).toThrow(RangeError);
});
