/** A homeserver for many accounts: it remembers of each only where it is, and measures what it is asked. */

import { setTimeout as delay } from "node:timers/promises";
import { ev } from "../test/support/events.ts";
import { type FakeHomeserver, type FakeReply, type FakeRequest, startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { scriptedAccount } from "./scripted-account.ts";

type Account = {
  readonly rooms: readonly string[];
  readonly first: string;
  at: number;
  /** Ends its waiting poll; null: none waits. */
  wake: (() => void) | null;
  /** When an answer with an event was sent, and its poll has not come back. */
  sentAt: number | null;
};

const LONG_MS = 30_000;
/** Where a restored homeserver is, and where it was before. */
const [BACKUP, BEFORE] = [500, 1000];

export class ScriptedHomeserver {
  readonly tokens: string[] = [];
  /** When each question came, besides polls. */
  questions: number[] = [];
  /** From an answer's end to the account's next poll: until it was stored, ms. */
  lags: number[] = [];
  /** When each sync without `since` came, after a restore. */
  readonly whole: number[] = [];
  peakWhole = 0;
  requests = 0;
  readonly #hs: FakeHomeserver;
  readonly #accounts = new Map<string, Account>();
  #polled = new Set<string>();
  #renewed = new Set<string>();
  #wholeMs: number | null = null;
  #running = 0;

  private constructor(hs: FakeHomeserver) {
    this.#hs = hs;
  }

  /** @param rooms how many an account is in */
  static async start(accounts: number, rooms: (n: number) => number): Promise<ScriptedHomeserver> {
    const homeserver = new ScriptedHomeserver(await startFakeHomeserver());
    for (let n = 0; n < accounts; n += 1) homeserver.#add(n, rooms(n));
    homeserver.#serve();
    return homeserver;
  }

  get url(): string {
    return this.#hs.url;
  }

  /** Accounts that were polled since `begin`. */
  get polling(): number {
    return this.#polled.size;
  }

  /** Accounts that were synced from scratch and polled again after a restore. */
  get renewed(): number {
    return this.#renewed.size;
  }

  /** Whether the n-th account has rooms. */
  hasRooms(n: number): boolean {
    return (this.#accounts.get(this.tokens[n] ?? "")?.rooms.length ?? 0) > 0;
  }

  userOf(n: number): string {
    return `@bench${n}:bench`;
  }

  /** A server starts. */
  begin(): void {
    this.#polled = new Set();
    this.#hs.forget();
  }

  measure(): void {
    [this.questions, this.lags] = [[], []];
  }

  /** The most questions within any second. */
  mostASecond(): number {
    let [most, from] = [0, 0];
    for (const [to, at] of this.questions.entries()) {
      while (at - (this.questions[from] ?? at) >= 1000) from += 1;
      most = Math.max(most, to - from + 1);
    }
    return most;
  }

  /** Sends the n-th account an event. */
  deliver(n: number): void {
    const account = this.#accounts.get(this.tokens[n] ?? "");
    if (!account?.wake) return;
    account.at += 1;
    account.wake();
  }

  /** All are where the backup was, and syncs without `since` take so long. */
  restore(wholeMs: number): void {
    this.#wholeMs = wholeMs;
    for (const account of this.#accounts.values()) account.at = BACKUP;
    this.#hs.disconnect();
  }

  async stop(): Promise<void> {
    await this.#hs.stop();
  }

  #add(n: number, rooms: number): void {
    const { userId, rooms: ids, first } = scriptedAccount(this.userOf(n), rooms, n + 1);
    const token = this.#hs.login(userId);
    this.tokens.push(token);
    this.#accounts.set(token, { rooms: ids, first: JSON.stringify(v2(first)).slice(1), at: BEFORE, wake: null, sentAt: null });
  }

  #serve(): void {
    this.#hs.on("GET", "/_matrix/client/v3/sync", (request) => this.#sync(request));
    const asked = (request: FakeRequest) => {
      this.requests += 1;
      this.questions.push(performance.now());
      return this.#of(request);
    };
    this.#hs.on("GET", "/_matrix/client/v3/joined_rooms", (request) => ({ body: { joined_rooms: asked(request).rooms } }));
    this.#hs.on("GET", "/_matrix/client/v3/rooms/:room/state/m.room.member/:user", (request) => {
      asked(request);
      return { body: ev.member(request.params["user"] ?? "") };
    });
    this.#hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", (request) => {
      asked(request);
      const gone = { status: 404, body: { errcode: "M_NOT_FOUND", error: "Event not found." } };
      return this.#wholeMs === null ? { body: ev.message("@puppet1:bench") } : gone;
    });
  }

  #of({ token = "" }: FakeRequest): Account {
    const account = this.#accounts.get(token);
    if (!account) throw new Error("an unknown token");
    return account;
  }

  async #sync(request: FakeRequest): Promise<FakeReply> {
    this.requests += 1;
    // What it remembers of every request is not needed, and too much.
    if (this.#hs.requests.length > 30_000) this.#hs.forget();
    const account = this.#of(request);
    const { token = "" } = request;
    const since = request.query.get("since");
    if (since === null) return this.#first(account);
    this.#polled.add(token);
    if (account.sentAt !== null) this.lags.push(performance.now() - account.sentAt);
    account.sentAt = null;
    const at = Number(since.slice(1));
    if (this.#wholeMs !== null && at === BACKUP) this.#renewed.add(token);
    if (at === account.at) await this.#news(account, Number(request.query.get("timeout")), request.signal);
    if (at >= account.at) return { body: { next_batch: `s${account.at}` } };
    const [room] = account.rooms;
    account.sentAt = performance.now();
    const news =
      room === undefined
        ? { account_data: [{ type: "m.bench", content: { at } }] }
        : { join: { [room]: { timeline: [ev.message("@puppet1:bench")] } } };
    return { body: { ...v2(news), next_batch: `s${account.at}` } };
  }

  async #first(account: Account): Promise<FakeReply> {
    if (this.#wholeMs !== null) {
      this.whole.push(performance.now());
      this.#running += 1;
      this.peakWhole = Math.max(this.peakWhole, this.#running);
      await delay(this.#wholeMs);
      this.#running -= 1;
    }
    return { body: `{"next_batch":"s${account.at}",${account.first}` };
  }

  /** Waits for an event, as a long poll. */
  #news(account: Account, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        account.wake = null;
        signal.removeEventListener("abort", end);
        resolve();
      };
      const timer = setTimeout(end, Math.min(ms, LONG_MS));
      account.wake = end;
      signal.addEventListener("abort", end);
    });
  }
}

/** Does `work` for all, so many at once. */
export async function inParallel<T>(atOnce: number, all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const one of left) await work(one);
    }),
  );
}
