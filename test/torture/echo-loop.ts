/** Kills the echo bot and the server while messages come, with gaps in what v2 tells of them, and counts the bot's answers. */

import { access, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { runCommand, type RunningCommand } from "../support/command.ts";
import { ev, type FakeHomeserver, type Json, newRoom, startFakeHomeserver, v2 } from "../support/fake-homeserver.ts";
import { FeedRoom } from "../support/feed.ts";
import { Server } from "./kill-loop.ts";

export type EchoLoopOptions = {
  readonly messages: number;
  /** Between two kills, answers. */
  readonly killEvery: number;
  readonly say?: (line: string) => void;
};

export type EchoLoopReport = {
  readonly messages: number;
  readonly unanswered: number;
  readonly doubled: number;
  /** Answers that were sent again, and that the homeserver took once. */
  readonly repeated: number;
  /** How many messages v2 left out. */
  readonly leftOut: number;
  readonly kills: Readonly<Record<"bot" | "server", number>>;
};

const [ME, BOB] = ["@bot:test", "@bob:test"] as const;
/** Messages in a v2 answer, at most, and how many of a limited one it shows. */
const [MOST, SHOWN] = [40, 5];
/** How long answers may stay out, ms. */
const PATIENCE_MS = 120_000;

/** @throws if no answer comes for two minutes */
export async function echoLoop({ messages, killEvery, say = () => {} }: EchoLoopOptions): Promise<EchoLoopReport> {
  const homeserver = await startFakeHomeserver();
  const talk = new Talk(homeserver);
  const server = await Server.start(homeserver);
  const directory = await mkdtemp(join(tmpdir(), "syncv3-echo-"));
  const place = join(directory, "place.json");
  const startBot = () => runCommand([], { SERVER: server.url, ACCESS_TOKEN: talk.token, PLACE: place }, "packages/client/examples/echo-bot.ts");
  let bot: RunningCommand = startBot();
  const kills = { bot: 0, server: 0 };
  try {
    // Its feed has begun, and it would go on from there.
    while (!(await isThere(place))) await delay(20);
    let heard = performance.now();
    for (let [turn, struck] = [0, 0]; talk.answered < messages;) {
      if (talk.asked < messages && talk.asked - talk.answered < 10 * MOST)
        talk.ask(Math.min(1 + Math.floor(Math.random() * MOST), messages - talk.asked));
      const before = talk.answered;
      await delay(20);
      if (talk.answered > before) heard = performance.now();
      if (performance.now() - heard > PATIENCE_MS) throw new Error(`${messages - talk.answered} messages are not answered:\n${bot.log()}`);
      if (talk.answered - struck < killEvery) continue;
      turn += 1;
      const victim = turn % 3 === 0 ? "server" : "bot";
      kills[victim] += 1;
      if (victim === "server") await server.killAndStart();
      else {
        bot.signal("SIGKILL");
        await bot.ended;
        bot = startBot();
      }
      struck = talk.answered;
      say(`${talk.answered} of ${messages} answered; killed: ${kills.bot} times the bot, ${kills.server} times the server`);
    }
    // What comes twice may come late.
    await delay(1000);
    return { messages, ...talk.report(), kills };
  } finally {
    bot.signal("SIGKILL");
    await bot.ended;
    await server.stop();
    await homeserver.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** The rooms that the bot is in, and what is said there. */
class Talk {
  readonly token: string;
  asked = 0;
  #leftOut = 0;
  #repeated = 0;
  readonly #homeserver: FakeHomeserver;
  readonly #rooms: readonly FeedRoom[];
  /** By the message that is answered. */
  readonly #answers = new Map<string, number>();
  /** By path: what was sent before is not taken again. */
  readonly #sent = new Map<string, string>();

  constructor(homeserver: FakeHomeserver) {
    this.#homeserver = homeserver;
    this.#rooms = [1, 2, 3].map((n) => new FeedRoom(homeserver, `!echo${n}:test`, [...newRoom(BOB), ev.member(ME)]));
    this.token = homeserver.login(ME, "BOT");
    homeserver.queueSync(
      this.token,
      v2({ join: Object.fromEntries(this.#rooms.map((room) => [room.id, { timeline: room.all, prev_batch: "h0" }])) }),
    );
    homeserver.on("PUT", "/_matrix/client/v3/rooms/:room/send/m.room.message/:txn", ({ path, params, body }) => {
      const known = this.#sent.get(path);
      if (known !== undefined) {
        this.#repeated += 1;
        return { body: { event_id: known } };
      }
      const event = ev.event("m.room.message", ME, JSON.parse(body) as Json);
      this.#sent.set(path, event.event_id);
      const to = (event.content["m.relates_to"] as { "m.in_reply_to": { event_id: string } })["m.in_reply_to"].event_id;
      this.#answers.set(to, (this.#answers.get(to) ?? 0) + 1);
      const room = this.#rooms.find(({ id }) => id === params["room"]);
      if (room) homeserver.queueSync(this.token, v2({ join: { [room.id]: room.next([event]) } }));
      return { body: { event_id: event.event_id } };
    });
  }

  /** How many messages have an answer. */
  get answered(): number {
    return this.#answers.size;
  }

  /** So many messages in one of the rooms. */
  ask(count: number): void {
    const room = this.#rooms[Math.floor(Math.random() * this.#rooms.length)] as FeedRoom;
    const events = Array.from({ length: count }, (_, n) => ev.message(BOB, `message ${this.asked + n}`));
    const shown = Math.random() < 0.5 ? Math.min(SHOWN, count) : count;
    this.asked += count;
    this.#leftOut += count - shown;
    this.#homeserver.queueSync(this.token, v2({ join: { [room.id]: room.next(events, shown) } }));
  }

  report() {
    const doubled = [...this.#answers.values()].filter((times) => times > 1).length;
    return { unanswered: this.asked - this.answered, doubled, repeated: this.#repeated, leftOut: this.#leftOut };
  }
}

function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
