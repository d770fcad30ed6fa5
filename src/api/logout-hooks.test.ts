import { expect, test } from "vitest";
import { endingOf } from "./logout-hooks.ts";

test.each([
  ["POST", "/_matrix/client/v3/logout", { kind: "logout" }],
  ["POST", "/_matrix/client/r0/logout?x=1", { kind: "logout" }],
  ["POST", "/_matrix/client/api/v1/logout", { kind: "logout" }],
  ["POST", "/_matrix/client/v3/logout/all", { kind: "account" }],
  ["POST", "/_matrix/client/v3/account/deactivate", { kind: "account" }],
  ["POST", "/_matrix/client/v3/delete_devices", { kind: "devices" }],
  ["DELETE", "/_matrix/client/v3/devices/A%2FB", { kind: "device", deviceId: "A/B" }],
  ["POST", "/_matrix/client/v3/rooms/!a%3Ab/forget", { kind: "room", roomId: "!a:b" }],
])("%s %s ends something", (method, target, ending) => {
  expect(endingOf(method, target)).toEqual(ending);
});

test.each([
  ["GET", "/_matrix/client/v3/logout"],
  ["GET", "/_matrix/client/v3/devices/A"],
  ["DELETE", "/_matrix/client/v3/devices"],
  ["PUT", "/_matrix/client/v3/devices/A"],
  ["POST", "/_matrix/client/v3/rooms/!a:b/leave"],
  ["POST", "/_matrix/client/v3/rooms/!a:b/send/forget"],
  ["POST", "/_matrix/federation/v1/logout"],
  ["POST", "/_matrix/client/v3/%zz/logout"],
])("%s %s ends nothing", (method, target) => {
  expect(endingOf(method, target)).toBeNull();
});
