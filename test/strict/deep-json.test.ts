/** N5: what reads or edits a homeserver's JSON does not overflow the stack, however deep that nests. */

import { describe, expect, it } from "vitest";
import { editLogin } from "../../src/api/login-answers.ts";
import { cutV2Answer } from "../../src/api/v2-answer.ts";
import { editVersions } from "../../src/api/versions.ts";
import { SIMPLIFIED_SYNC } from "../../src/wire/versions.ts";
import { withOwnAddress } from "../../src/api/well-known.ts";
import { NO_FACTS, parseFacts } from "../../src/store/room-facts.ts";
import { cutAnswer } from "../../src/upstream/cut-answer.ts";
import { computeFacts, directRooms, noChange, tagsOf } from "../../src/upstream/ingest/facts.ts";
import { cutEvent, eventText } from "../../src/wire/event.ts";
import { isObject } from "../../src/wire/identifier.ts";
import type { UserId } from "../../src/wire/ids.ts";
import { powerLevels } from "../../src/wire/power-levels.ts";
import { pruneEvent } from "../../src/wire/redact.ts";
import { soundJson } from "../../src/wire/sound-json.ts";
import { cutResponse } from "../../src/wire/v2-response.ts";

const LEVELS = 20_000;
const deep = `${'{"a":['.repeat(LEVELS)}1${"]}".repeat(LEVELS)}`;
const ME = "@me:test" as UserId;

describe("N5: deep JSON in answers that are passed", () => {
  it("N5: /versions", async () => {
    const edit = editVersions({ features: [SIMPLIFIED_SYNC], preferNative: true });
    for (const text of [`{"versions":${deep}}`, `{"unstable_features":{"x":${deep}}}`])
      expect(await edit(text)).toContain(`"${SIMPLIFIED_SYNC}":true`);
  });

  it("N5: the well-known file, and answers to log-ins that hold one", async () => {
    const edit = editLogin("https://here.test");
    for (const text of [`{"m.homeserver":{"x":${deep}}}`, `{"m.homeserver":${deep},"y":${deep}}`]) {
      expect(withOwnAddress(text, "https://here.test")).toContain('"base_url":"https://here.test"');
      expect(await edit(`{"well_known":${text},"z":${deep}}`)).toContain('"base_url":"https://here.test"');
    }
  });

  it("N5: a v2 answer whose to-device messages are exchanged", () => {
    const answer = cutV2Answer(Buffer.from(`{"next_batch":"s","rooms":${deep},"to_device":{"events":[${deep}]}}`));
    expect(answer?.messages).toEqual([deep]);
    expect(answer?.withMessages([]).toString()).toBe(`{"next_batch":"s","rooms":${deep},"to_device":{"events":[]}}`);
  });
});

describe("N5: deep JSON in what is stored", () => {
  const event = `{"type":"m.room.power_levels","state_key":"","event_id":"$e","sender":"@a:test","content":{"users":${deep}},"unsigned":{"x":${deep}}}`;

  it("N5: an event is cut, pruned and written", () => {
    const cut = cutEvent(event, 0);
    if (cut.kind !== "event") throw new Error(cut.reason);
    expect(eventText({ ...cut, room_id: null }, 0)).toContain(deep);
    expect(pruneEvent(cut.body, cut.type, "10")).toContain(deep);
    expect(powerLevels(cut.content, null, [JSON.parse(deep)], "12").usersDefault).toBe(0);
  });

  it("N5: a v2 answer is cut", () => {
    const tag = `{"type":"m.tag","content":{"tags":${deep}}}`;
    const text = `{"next_batch":"s","x":${deep},"account_data":{"events":[${tag}]},"rooms":{"join":{"!a:b":{"timeline":{"events":[${event}]}}},"invite":{"!c:d":{"invite_state":{"events":[${event}]}}}}}`;
    const { join, invite, accountData } = cutResponse(text, 0);
    expect([join.size, invite.size, accountData.length]).toEqual([1, 1, 1]);
    expect(cutAnswer(`{"chunk":[${event}],"end":${deep}}`)).toEqual({ chunk: [event], state: [], end: null });
  });

  it("N5: facts of a room can be written", () => {
    const tags = tagsOf({ tags: { "m.favourite": { order: 0.5 }, "u.deep": JSON.parse(deep) } });
    const contents = new Map([["m.room.create", { content: { type: JSON.parse(deep) as unknown, room_version: JSON.parse(deep) as unknown } }]]);
    const facts = computeFacts(NO_FACTS, { ...noChange(ME, NO_FACTS), contents, tags });
    expect((JSON.parse(JSON.stringify(facts)) as { tags: unknown }).tags).toEqual({ "m.favourite": { order: 0.5 }, "u.deep": {} });
    expect(directRooms({ "@a:test": [JSON.parse(deep)], "@b:test": ["!a:b"] })).toEqual(new Set(["!a:b"]));
  });

  it("N5: facts that an older version stored can be sent", () => {
    const levels = 3000;
    const stored = JSON.stringify(NO_FACTS).replace('"tags":{}', `"tags":{"u.deep":${"[".repeat(levels)}${"]".repeat(levels)}}`);
    expect(parseFacts(stored).tags).toEqual({ "u.deep": {} });
  });

  it("N5: a value is sound up to the levels that are asked for", () => {
    expect(soundJson({ a: [{ b: "\ud800" }] }, 3)).toEqual({ a: [{ b: "\ufffd" }] });
    expect([soundJson({ a: [{}] }, 2), soundJson([], 0), soundJson("x", 0)]).toEqual([undefined, undefined, "x"]);
    const own = soundJson(JSON.parse('{"__proto__":{"x":1}}'), 2);
    expect(isObject(own) && Object.hasOwn(own, "__proto__")).toBe(true);
  });
});
