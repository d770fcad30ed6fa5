/** What a real Synapse answers to `GET /sync`, with something wrong in it: read as far as it goes, and never in the way of what comes after. */

import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pino } from "pino";
import { BadResponse, cutResponse } from "../../src/wire/v2-response.ts";
import { LOGGER_OPTIONS } from "../../src/base/logger.ts";
import { ev, type Json, newRoom, toDevice, v2 } from "../support/fake-homeserver.ts";
import { mutated, mutatedText } from "../support/mutations.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { SlidingClient } from "../support/sliding.ts";
import { ALL } from "../support/sliding-waits.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const READ_RUNS = Number(process.env["SYNCV3_FUZZ"] ?? 3000);
const STORE_RUNS = Number(process.env["SYNCV3_FUZZ"] ?? 150);

const { users } = sharedSynapse();
const answers: Json[] = [];
const log: string[] = [];
let t: V3Fixture;
beforeAll(async () => {
  const [alice, bob] = [await users.registerUser("fuzz-alice"), await users.registerUser("fuzz-bob")];
  const room = await alice.createRoom({ preset: "public_chat", name: "Fuzz", topic: "what is wrong" });
  const left = await alice.createRoom({ name: "Left" });
  const invited = await bob.createRoom({ name: "Invited", is_direct: true });
  await bob.join(room);
  await bob.invite(invited, alice.userId);
  const sync = async (since?: string) => {
    const answer = await alice.call<Json & { next_batch: string }>(
      "GET",
      `/sync?timeout=0&full_state=false${since === undefined ? "" : `&since=${since}`}`,
    );
    answers.push(answer);
    return answer.next_batch;
  };
  const first = await sync();
  const message = await bob.send(room, "hello");
  await alice.readReceipt(room, message);
  await bob.typing(room, true);
  await bob.sendToDevice("m.test", { [alice.userId]: { "*": { n: 1 } } });
  await alice.call("PUT", `/user/${alice.userId}/account_data/m.direct`, { [bob.userId]: [invited] });
  await alice.call("PUT", `/user/${alice.userId}/rooms/${encodeURIComponent(room)}/tags/m.favourite`, { order: 0.5 });
  await alice.call("PUT", `/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(message)}/1`, {});
  await alice.leave(left);
  await sync(first);
  t = await startV3({ logger: pino({ ...LOGGER_OPTIONS, level: "error" }, { write: (line) => void log.push(line) }) });
});
afterAll(() => t.stop());

test("D26 B38: the reader gives what is right in it, or says that it is no answer", () => {
  let refused = 0;
  fc.assert(
    fc.property(fc.oneof(...answers.map(mutatedText)), (text) => {
      try {
        cutResponse(text, 0);
      } catch (error) {
        if (!(error instanceof BadResponse)) throw error;
        refused += 1;
      }
    }),
    { numRuns: READ_RUNS },
  );
  expect(refused).toBeGreaterThan(0);
  expect(refused).toBeLessThan(READ_RUNS / 2);
});

test(
  "B38 TestBadPollDataDoesntDropToDeviceMsgs: one after the other through the server, and later events are sent",
  { timeout: 180_000 },
  async () => {
    const [me, room] = ["@fuzz:test", "!fuzz:test"];
    const client = t.login(me, "PHONE", v2({ join: { [room]: { state: newRoom(me) } } }));
    client.checksAnswers = false;
    const sliding = new SlidingClient(client, "v4");
    const ask = {
      ...ALL,
      ext: { to_device: { enabled: true }, account_data: { enabled: true }, receipts: { enabled: true }, typing: { enabled: true } },
    };
    let { next: since } = await client.sync({ room_list: {}, to_device: {}, account_data: { rooms: "*" }, invites: {}, receipts: {}, typing: {} });
    let { pos } = await sliding.sync(ask);
    await t.hs.waitForPoll(client.token);
    const wrong = fc.sample(fc.oneof(...answers.map(mutated)), { numRuns: STORE_RUNS, seed: 20_261_127 });
    const marks: number[] = [];
    for (const [n, answer] of wrong.entries()) {
      if (typeof answer !== "object" || answer === null || Array.isArray(answer)) continue;
      // Its place is the fixture's own; all else is as it is.
      const { next_batch: _, ...rest } = answer as Json;
      await t.deliver(client, rest);
      if (n % 10 > 0) continue;
      await t.deliver(
        client,
        v2({ join: { [room]: { timeline: [ev.message("@bob:test", `after ${n}`)] } }, to_device: [toDevice("@bob:test", { mark: n })] }),
      );
      const told = await client.sync({}, { since });
      // Messages that something is wrong in come as they are.
      marks.push(...(told["to_device"].events as { content?: { mark?: number } | null }[]).flatMap(({ content }) => content?.mark ?? []));
      ({ next: since } = told);
      const reply = await sliding.request(ask, { pos });
      // An account that was reset, or a user no longer ignored, ends connections: anew.
      pos = reply.status === 400 ? (await sliding.sync(ask)).pos : sliding.read(reply).pos;
    }
    expect(marks).toEqual(
      wrong.flatMap((answer, n) => (n % 10 === 0 && typeof answer === "object" && answer !== null && !Array.isArray(answer) ? n : [])),
    );
    expect(log.filter((line) => line.includes("A request failed"))).toEqual([]);
    expect(await t.sql`select error from poison`).toEqual([]);
  },
);
