/** Clients that follow an account through every fault, as clients do: what broke is asked again, with the place of the last whole answer. */

import { setTimeout as delay } from "node:timers/promises";
import { SlidingClient } from "../support/sliding.ts";
import type { V3Client } from "../support/v3.ts";
import { type Item, Tally } from "./tally.ts";

/** How long a client rests after it was refused or cut off, ms. */
const REST_MS = 50;
const POLL_MS = 5000;

export type Consumer = { readonly name: string; readonly tally: Tally; run(signal: AbortSignal): Promise<void> };

/** Numbers of the to-device messages and of the room's events in an answer, in their order. */
type Told = { readonly toDevice: readonly number[]; readonly events: readonly number[] };

function consumer(name: string, changed: () => void, ask: (tally: Tally, signal: AbortSignal) => Promise<Told>): Consumer {
  const tally = new Tally();
  return {
    name,
    tally,
    async run(signal) {
      while (!signal.aborted) {
        try {
          const told = await ask(tally, signal);
          for (const n of told.toDevice) tally.take("to-device", n);
          for (const n of told.events) tally.take("events", n);
          tally.answers += 1;
          changed();
        } catch (error) {
          if (signal.aborted) return;
          if (!isPassing(error)) throw error;
          tally.interrupted += 1;
          await delay(REST_MS, undefined, { signal }).catch(() => {});
        }
      }
    },
  };
}

/** The server is not there, or says that it cannot just now. Anything else is a fault of ours. */
class NotNow extends Error {}
const isPassing = (error: unknown): boolean =>
  error instanceof NotNow || error instanceof TypeError || (error instanceof Error && error.name === "TimeoutError");

function refuse(name: string, status: number, text: string): never {
  if (status === 502 || status === 503) throw new NotNow();
  throw new Error(`${name} got ${status}: ${text.slice(0, 300)}`);
}

/** A session of sync v3. */
export function v3Consumer(name: string, client: V3Client, roomId: string, changed: () => void): Consumer {
  let since: string | undefined;
  return consumer(name, changed, async (_, signal) => {
    const body = since === undefined ? { room: { room_id: roomId, timeline_limit: 100 }, to_device: {} } : {};
    const reply = await client.request(body, { since, timeout: POLL_MS, signal: AbortSignal.any([signal, AbortSignal.timeout(POLL_MS * 4)]) });
    if (reply.status !== 200) refuse(name, reply.status, reply.text);
    since = reply.body.next;
    const timeline = (reply.body["room"]?.rooms[roomId]?.timeline?.events ?? []) as Item[];
    return { toDevice: numbersOf(reply.body["to_device"]?.events ?? []), events: numbersOf(timeline) };
  });
}

/** A connection of sliding sync. Where its position is unknown it begins anew, with the queue where it was. */
export function slidingConsumer(name: string, client: V3Client, roomId: string, changed: () => void): Consumer {
  const sliding = new SlidingClient(client, "v4");
  let pos: string | undefined;
  let queue: string | undefined;
  return consumer(name, changed, async (tally, signal) => {
    const reply = await sliding.request(
      {
        connId: name,
        subs: { [roomId]: { limit: 100 } },
        ext: { to_device: { enabled: true, limit: 100, ...(queue !== undefined && { since: queue }) } },
      },
      { pos, timeout: POLL_MS, signal: AbortSignal.any([signal, AbortSignal.timeout(POLL_MS * 4)]) },
    );
    if (reply.status === 400 && reply.text.includes("M_UNKNOWN_POS")) {
      pos = undefined;
      tally.begunAnew += 1;
      return { toDevice: [], events: [] };
    }
    if (reply.status !== 200) refuse(name, reply.status, reply.text);
    const answer = sliding.read(reply);
    ({ pos } = answer);
    queue = answer.extensions["to_device"]?.next_batch ?? queue;
    const room = answer.rooms[roomId];
    // What a connection that begins anew is told again is no double.
    const again = room?.["initial"] === true;
    const events = numbersOf((room?.["timeline"] ?? []) as Item[]);
    return {
      toDevice: numbersOf(answer.extensions["to_device"]?.events ?? []),
      events: again ? events.filter((n) => n > tally.last("events")) : events,
    };
  });
}

function numbersOf(items: readonly Item[]): number[] {
  return items.flatMap(({ content }) => (typeof content["n"] === "number" ? content["n"] : []));
}

/** An account's followers in these tests: two sessions and a connection of one device. */
export function threeConsumers(client: V3Client, roomId: string, changed: () => void): readonly Consumer[] {
  return [
    v3Consumer("session 1", client, roomId, changed),
    v3Consumer("session 2", client, roomId, changed),
    slidingConsumer("connection", client, roomId, changed),
  ];
}
