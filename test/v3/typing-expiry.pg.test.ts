import { afterEach, beforeEach, expect, it } from "vitest";
import { newRoom, typing, v2 } from "../support/fake-homeserver.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ROOM = "!a:test";
const edu = (...users: string[]) => ({ type: "m.typing", room_id: ROOM, content: { user_ids: users } });
const bobTypes = v2({ join: { [ROOM]: { state: newRoom("@alice:test"), ephemeral: [typing("@bob:test")] } } });

let t: V3Fixture;
beforeEach(async () => {
  t = await startV3({ supervision: { typingMs: 3000, typingSweepMs: 50 } });
});
afterEach(() => t.stop());

it("S1 B53: typing ends with an empty set when there was no successful v2 response for the time (2 minutes, here 3 s)", async () => {
  const alice = t.login("@alice:test", "PHONE", bobTypes);
  const started = performance.now();
  const first = await alice.sync({ typing: { room_id: ROOM } });
  expect(first["typing"].events, "just told by the homeserver: the looks since the start did not end it").toEqual([edu("@bob:test")]);
  const second = await alice.sync({}, { since: first.next, timeout: 15_000 });
  expect(second["typing"].events).toEqual([edu()]);
  expect(performance.now() - started, "and not a moment sooner").toBeGreaterThanOrEqual(2999);
  expect(Object.keys(await alice.sync({}, { since: second.next })), "told once").toEqual(["next"]);
  await t.deliver(alice, v2({ join: { [ROOM]: { ephemeral: [typing("@charlie:test")] } } }));
  const third = await alice.sync({}, { since: second.next });
  expect(third["typing"].events).toEqual([edu("@charlie:test")]);
});

it("S1 B53: typing from before a restart ends too, where the homeserver does not confirm it", async () => {
  const alice = t.login("@alice:test", "PHONE", bobTypes);
  const first = await alice.sync({ typing: { room_id: ROOM } });
  t.hs.fail({ path: /\/sync$/ }, { status: 502, body: {} }, 1000);
  await t.restart();
  const second = await alice.sync({}, { since: first.next, timeout: 15_000 });
  expect(second["typing"].events).toEqual([edu()]);
});
