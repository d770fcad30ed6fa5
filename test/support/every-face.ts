/** One device that asks for everything by each API: what it gets from scratch, and what it gets as it goes on. */

import type { Json } from "./fake-homeserver.ts";
import { type Answer as SlidingAnswer, type Ask, SlidingClient } from "./sliding.ts";
import type { Answer, V3Client } from "./v3.ts";

const EXTENSIONS = Object.fromEntries(["to_device", "e2ee", "account_data", "receipts", "typing"].map((name) => [name, { enabled: true }]));
const EVERYTHING: Ask = { lists: { all: { ranges: [[0, 99]], state: [["*", "*"]], limit: 20 } }, ext: EXTENSIONS };

function everyStream(room: string): Json {
  return {
    room_list: { state_events: [["*", "*"]], timeline_limit: 20, lazy_load_members: true },
    room: { room_id: room },
    room_members: { room_id: room },
    typing: { room_id: "room_list" },
    receipts: { room_id: "room_list" },
    account_data: { rooms: "*" },
    to_device: {},
    invites: {},
    presence: {},
    e2ee: {},
  };
}

export type FaceAnswers = { readonly unstable: SlidingAnswer; readonly v4: SlidingAnswer; readonly v3: Answer };

/** Every answer is checked by the client that gets it (answer-check.ts). */
export class EveryFace {
  readonly #client: V3Client;
  readonly #room: string;
  #last: FaceAnswers | null = null;

  /** `room`: the one that sync v3 shows. */
  constructor(client: V3Client, room: string) {
    this.#client = client;
    this.#room = room;
  }

  /** Everything from scratch. */
  async whole(): Promise<FaceAnswers> {
    const ask = (dialect: "unstable" | "v4") => new SlidingClient(this.#client, dialect).sync({ ...EVERYTHING, connId: `whole ${dialect}` });
    return { unstable: await ask("unstable"), v4: await ask("v4"), v3: await this.#client.sync(everyStream(this.#room)) };
  }

  /** What is new since the last call of this, to-device messages acknowledged; from scratch the first time, and where a position is gone. */
  async next(): Promise<FaceAnswers> {
    const last = this.#last;
    const ask = async (dialect: "unstable" | "v4") => {
      const sliding = new SlidingClient(this.#client, dialect);
      const received = last?.[dialect].extensions["to_device"] as { next_batch: string } | undefined;
      const toDevice = { enabled: true, ...(received && { since: received.next_batch }) };
      const asked = { ...EVERYTHING, ext: { ...EXTENSIONS, to_device: toDevice }, connId: `next ${dialect}` };
      const reply = await sliding.request(asked, { pos: last?.[dialect].pos });
      return reply.status === 400 ? sliding.sync(asked) : sliding.read(reply);
    };
    const v3 = async () => {
      const reply = await this.#client.request(everyStream(this.#room), { since: last?.v3.next });
      return reply.status === 400 ? this.#client.sync(everyStream(this.#room)) : answerOf(reply);
    };
    this.#last = { unstable: await ask("unstable"), v4: await ask("v4"), v3: await v3() };
    return this.#last;
  }
}

function answerOf(reply: { readonly status: number; readonly body: Answer; readonly text: string }): Answer {
  if (reply.status !== 200) throw new Error(`sync answered ${reply.status}: ${reply.text.slice(0, 1000)}`);
  return reply.body;
}
