import { describe, expect, it } from "vitest";
import type { Wake, WakeKind } from "../feed/hub.ts";
import { STREAMS } from "./streams/registry.ts";
import type { StreamKey } from "./params.ts";
import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../wire/ids.ts";
import { meaningOf } from "../sync/wakes.ts";
import { kindsOf } from "./interest.ts";

const ME = 1 as DeviceNo;
const OTHER = 2 as DeviceNo;

type News = Wake & { type: "news" };
const news = (kinds: WakeKind[] | null, device: DeviceNo | null = ME): News => ({
  type: "news",
  account: 1 as AccountNo,
  ...(device !== null && { device }),
  ...(kinds && { kinds: new Set(kinds), rooms: new Set<RoomId>() }),
});

const meaning = (wake: Wake, params: Parameters<typeof kindsOf>[0]) =>
  meaningOf(wake, { device: ME, arrival: "b", isOfSame: ({ request }) => !request.startsWith("other"), kinds: kindsOf(params) });
const interestedIn = (wake: Wake, params: Parameters<typeof kindsOf>[0]) => meaning(wake, params) !== null;

const asking = (...keys: StreamKey[]) => Object.fromEntries(keys.map((key) => [key, {}]));

/** What can change a stream's answer, by the contract. */
const CHANGES: Readonly<Record<StreamKey, readonly WakeKind[]>> = {
  typing: ["typing", "facts"],
  to_device: ["to_device"],
  room_members: ["members", "facts", "state"],
  room: ["timeline", "state", "facts", "members"],
  room_list: ["timeline", "state", "facts", "members"],
  feed: ["timeline", "feed"],
  invites: ["invites"],
  account_data: ["account_data", "facts"],
  receipts: ["receipts", "facts"],
  presence: ["presence"],
  e2ee: ["device_lists", "key_counts"],
};
const KINDS: readonly WakeKind[] = [
  "timeline",
  "feed",
  "state",
  "members",
  "facts",
  "typing",
  "receipts",
  "account_data",
  "presence",
  "invites",
  "to_device",
  "device_lists",
  "key_counts",
  "keys_uploaded",
];

describe("which wake-ups concern a request (D7)", () => {
  it("every stream has a row here", () => {
    expect(Object.keys(CHANGES).sort()).toEqual(STREAMS.map((stream) => stream.key).sort());
  });

  it.each(Object.entries(CHANGES))("D7 I9: %s is looked at for exactly what can change it", (key, changes) => {
    const params = asking(key as StreamKey);
    expect(KINDS.filter((kind) => interestedIn(news([kind]), params))).toEqual(KINDS.filter((kind) => changes.includes(kind)));
  });

  it("D7: a request for nothing is only concerned by the end of a token, the first response, and wake-ups of unknown kinds", () => {
    expect(KINDS.filter((kind) => interestedIn(news([kind]), {}))).toEqual([]);
    expect([interestedIn(news(["complete"]), {}), interestedIn(news(["gone"]), {}), interestedIn(news(null), {})]).toEqual([true, true, true]);
  });

  it("D7: of several kinds and streams, one match is enough", () => {
    expect(interestedIn(news(["presence", "typing"]), asking("invites", "typing"))).toBe(true);
    expect(interestedIn(news(["presence", "receipts"]), asking("invites", "typing"))).toBe(false);
  });

  it("I9: to-device messages and key counts of another device do not concern it; other kinds in the same wake-up do", () => {
    for (const [kind, key] of [
      ["to_device", "to_device"],
      ["key_counts", "e2ee"],
    ] as const) {
      expect(interestedIn(news([kind], OTHER), asking(key))).toBe(false);
      expect(interestedIn(news([kind], null), asking(key))).toBe(true);
    }
    expect(interestedIn(news(["device_lists"], OTHER), asking("e2ee")), "T10: device lists are every device's").toBe(true);
    expect(interestedIn(news(["to_device", "typing"], OTHER), asking("to_device", "typing"))).toBe(true);
  });

  it("D11: a newer request of the same session ends it, an older one and those of others do not", () => {
    const of = (request: string): Wake => ({ type: "session", account: 1 as AccountNo, session: 1 as SessionNo, request });
    expect(["a", "b", "c", "other c"].map((request) => meaning(of(request), {}))).toEqual([null, null, "superseded", null]);
  });

  it("T18: the end of a token, session or device is not taken for news", () => {
    expect(meaning(news(["gone"]), asking("typing"))).toBe("gone");
    expect(meaning(news(["typing"]), asking("typing"))).toBe("evaluate");
  });
});
