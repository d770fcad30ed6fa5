/** Wake-ups of two polls that wait for the same event: how long after the sender has its answer each has the event. */

import { setTimeout as delay } from "node:timers/promises";
import type { TestUser } from "../test/support/synapse-api.ts";

/** Asks once more, from where the last answer ended; the answer's text. */
export type Poll = () => Promise<string>;

/** Both polls have to be waiting before an event is sent, ms. */
const SETTLE_MS = 60;

/** ms; negative where the answer was there before the sender's. */
export async function pairedWakeUps(
  [ours, peer]: readonly [Poll, Poll],
  sender: TestUser,
  roomId: string,
  times: number,
): Promise<{ readonly ours: number[]; readonly peer: number[]; readonly differences: number[] }> {
  const figures: { ours: number; peer: number }[] = [];
  for (let i = 0; i < times; i += 1) {
    const waiting = Promise.all([until(ours, `wake ${i}.`), until(peer, `wake ${i}.`)]);
    await delay(SETTLE_MS);
    await sender.send(roomId, `wake ${i}.`);
    const sent = performance.now();
    const [a, b] = await waiting;
    figures.push({ ours: a - sent, peer: b - sent });
  }
  return { ours: figures.map((f) => f.ours), peer: figures.map((f) => f.peer), differences: figures.map((f) => f.ours - f.peer) };
}

/** When an answer that holds the text came. */
async function until(poll: Poll, text: string): Promise<number> {
  for (;;) {
    const answer = await poll();
    const at = performance.now();
    if (answer.includes(text)) return at;
  }
}
