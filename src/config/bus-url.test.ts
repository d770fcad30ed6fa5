import { expect, test } from "vitest";
import { parseBusUrl } from "./bus-url.ts";

test.each([
  ["nats://n", { servers: ["n:4222"], tls: false }],
  ["nats://n:5222/", { servers: ["n:5222"], tls: false }],
  ["tls://n.example.org", { servers: ["n.example.org:4222"], tls: true }],
  ["nats://[::1]:4222", { servers: ["[::1]:4222"], tls: false }],
  ["nats://me:p%40ss%2C@n", { servers: ["n:4222"], user: "me", pass: "p@ss,", tls: false }],
  ["nats://t0ken@n", { servers: ["n:4222"], token: "t0ken", tls: false }],
  ["nats://me:pw@a:1, nats://b:2,c", { servers: ["a:1", "b:2", "c:4222"], user: "me", pass: "pw", tls: false }],
])("%s", (text, address) => {
  expect(parseBusUrl(text, "-bus")).toEqual(address);
});

test.each([
  ["", "not a URL"],
  ["n:4222", "not a URL"],
  ["redis://me:hunter2@n", "not a URL"],
  ["nats://", "not a URL"],
  ["nats://me:hunter2@n/a/subject", "not a URL"],
  ["nats://me:hunter2@n:port", "not a URL"],
  ["nats://a,tls://b", "not a URL"],
  ["nats://me:hunter2@a,nats://me:other@b", "the same user"],
  ["nats://me:hunter2%@n", "percent-encoding"],
])("%s is refused, and no password is shown", (text, message) => {
  expect(() => parseBusUrl(text, "SYNCV3_BUS")).toThrow(message);
  expect(() => parseBusUrl(text, "SYNCV3_BUS")).toThrow(/^SYNCV3_BUS: (?!.*hunter2)/);
});
