/**
 * What sessions must be told, in memory and in plain terms: the contract's rules for four streams, written down a second time.
 * A test drives the server and this model side by side (session-model.pg.test.ts).
 *
 *   batch     what one v2 response brought; batches are numbered from 1. A token has been told all batches up to its `at`.
 *   message   to-device messages are numbered from 1; a token has been told all up to its `messages`.
 *   change    member events are numbered from 1; a token has been told all up to its `changes`.
 */

export type MemberChange = { readonly user: string; readonly membership: "join" | "leave" };

export type Batch = {
  readonly typing?: readonly string[];
  readonly messages: number;
  readonly members: readonly string[];
  readonly accountData: readonly string[];
};

/** The parameters that a test varies; null and absence as in a request (D9). */
export type Body = {
  readonly typing?: { readonly room_id?: string | null } | null;
  readonly to_device?: { readonly limit?: number | null } | null;
  readonly room_members?: { readonly room_id?: string; readonly p?: { readonly limit?: number; readonly sort?: string } } | null;
  readonly account_data?: Record<string, never> | null;
};

type Params = {
  typing?: { room_id?: string };
  to_device?: { limit?: number };
  room_members?: { room_id?: string; limit?: number; sort?: string };
  account_data?: true;
};

/** What a token stands for. */
export type Place = {
  readonly session: number;
  readonly params: Params;
  readonly at: number;
  readonly messages: number;
  readonly changes: number;
  /** Messages that were there when the session took part: they hold nothing back (D19). */
  readonly exempt: number;
  /** Selections of the streams that have started. */
  readonly started: Readonly<Record<string, string>>;
};

/** The members that page one left out, in order. */
export type Rest = { readonly members: readonly string[]; readonly sort: string; readonly limit: number };

export type Told = {
  readonly typing?: readonly (readonly string[])[];
  readonly to_device?: { readonly limit: number; readonly messages: readonly number[] };
  readonly room_members?: { readonly users: readonly string[]; readonly limit: number; readonly sort: string; readonly more: boolean };
  readonly account_data?: readonly string[];
};

/** An answer, the token of it, and what further pages hold. */
export type Expected = { readonly told: Told; readonly next: Place; readonly rest: Rest | null };

type Session = { acked: number; takesPart: boolean; alive: boolean };

export class SessionModel {
  readonly room: string;
  readonly #me: string;
  readonly #joinedAtFirst: readonly string[];
  #batches = 0;
  #typing: { set: readonly string[]; batch: number } = { set: [], batch: 0 };
  readonly #messageBatches: number[] = [];
  #purged = 0;
  readonly #changes: (MemberChange & { batch: number })[] = [];
  readonly #accountData = new Map<string, { text: string; batch: number }>();
  readonly sessions: Session[] = [];

  constructor(room: string, me: string, others: readonly string[]) {
    this.room = room;
    this.#me = me;
    this.#joinedAtFirst = [me, ...others];
  }

  /** How a user who changes, changes: who is in leaves, who is not joins. */
  nextMembership(user: string): "join" | "leave" {
    return this.#joined(this.#changes.length).includes(user) ? "leave" : "join";
  }

  /** The text that the next account data of a type has. */
  nextText(type: string): string {
    return `${type} ${this.#batches + 1}`;
  }

  get messageCount(): number {
    return this.#messageBatches.length;
  }

  deliver(batch: Batch): void {
    const members = batch.members.map((user) => ({ user, membership: this.nextMembership(user) }));
    for (const type of batch.accountData) this.#accountData.set(type, { text: this.nextText(type), batch: this.#batches + 1 });
    this.#batches += 1;
    if (batch.typing && batch.typing.join() !== this.#typing.set.join()) this.#typing = { set: batch.typing, batch: this.#batches };
    for (let n = 0; n < batch.messages; n++) this.#messageBatches.push(this.#batches);
    this.#changes.push(...members.map((change) => ({ ...change, batch: this.#batches })));
  }

  /** A session starts, with its first request still to come. */
  start(): Place {
    this.sessions.push({ acked: 0, takesPart: false, alive: true });
    return { session: this.sessions.length - 1, params: {}, at: 0, messages: 0, changes: 0, exempt: 0, started: {} };
  }

  isAlive(place: Place): boolean {
    return this.#session(place).alive;
  }

  /** R10: it ends, and holds nothing any more. */
  end(session: number): void {
    const ended = this.sessions[session];
    if (!ended) return;
    this.#purge();
    ended.alive = false;
    this.#purge();
  }

  /** What a request with a token must be told. The request acknowledges. */
  sync(place: Place, body: Body): Expected {
    const params = merge(place.params, body);
    this.#acknowledge(place, params);
    return this.answer(place, params);
  }

  /** What there is to tell, without a request. */
  answer(place: Place, params: Params = place.params): Expected {
    const told: { -readonly [Key in keyof Told]: Told[Key] } = {};
    const started: Record<string, string> = {};
    let { messages, exempt, changes } = place;
    let to = this.#batches;

    if (params.to_device) {
      const limit = params.to_device.limit ?? 100;
      const waiting = range(Math.max(messages, this.#purged), this.messageCount);
      const events = waiting.slice(0, limit);
      const isNew = place.started["to_device"] === undefined;
      if (isNew) exempt = this.messageCount;
      if (isNew || events.length > 0) told.to_device = { limit, messages: events };
      messages = events.length < waiting.length ? (events.at(-1) ?? messages) : this.messageCount;
      started["to_device"] = "";
      const lagging = range(Math.max(messages, exempt), this.messageCount)[0];
      if (lagging !== undefined) to = Math.min(to, Math.max(this.#batchOf(lagging) - 1, place.at));
    }

    const known = this.#changes.filter((change) => change.batch <= to).length;
    let rest: Rest | null = null;
    if (params.room_members) {
      const { room_id: room, limit = 50, sort = "by_pl" } = params.room_members;
      const selection = `${room ?? ""} ${sort}`;
      if (place.started["room_members"] !== selection) {
        const all = room === undefined ? [] : this.#sorted(known, sort);
        told.room_members = { users: all.slice(0, limit), limit, sort, more: all.length > limit };
        if (all.length > limit) rest = { members: all.slice(limit), sort, limit };
        changes = known;
      } else {
        const events = room === undefined ? [] : this.#changes.slice(changes, known);
        if (events.length > 0) told.room_members = { users: events.slice(0, limit).map(({ user }) => user), limit, sort, more: false };
        changes = room === undefined ? known : changes + Math.min(limit, events.length);
      }
      started["room_members"] = selection;
    } else changes = known;

    if (params.typing) {
      const selection = params.typing.room_id ?? "";
      const isNew = place.started["typing"] !== selection;
      const set = selection !== "" && this.#typing.batch <= to && this.#typing.batch > (isNew ? 0 : place.at) ? this.#typing.set : null;
      if (isNew) told.typing = set && set.length > 0 ? [set] : [];
      else if (set) told.typing = [set];
      started["typing"] = selection;
    }

    if (params.account_data) {
      const isNew = place.started["account_data"] === undefined;
      const changed = [...this.#accountData.values()].filter(({ batch }) => batch <= to && batch > (isNew ? 0 : place.at));
      if (isNew || changed.length > 0) told.account_data = changed.map(({ text }) => text).sort();
      started["account_data"] = "";
    }
    return { told, next: { session: place.session, params, at: to, messages, changes, exempt, started }, rest };
  }

  #acknowledge(place: Place, params: Params): void {
    const session = this.#session(place);
    const had = place.params.to_device !== undefined;
    const before = { ...session };
    if (had) session.acked = Math.max(session.acked, place.messages);
    if (params.to_device) session.takesPart = true;
    else if (had) session.takesPart = false;
    if (session.acked > before.acked || (before.takesPart && !session.takesPart)) this.#purge();
  }

  /** S2: what every session that takes part has acknowledged; with none, what any has. */
  #purge(): void {
    const alive = this.sessions.filter((session) => session.alive);
    const parties = alive.filter((session) => session.takesPart);
    const reached = parties.length > 0 ? Math.min(...parties.map(({ acked }) => acked)) : Math.max(0, ...alive.map(({ acked }) => acked));
    this.#purged = Math.max(this.#purged, reached);
  }

  #joined(changes: number): string[] {
    const joined = new Set(this.#joinedAtFirst);
    for (const { user, membership } of this.#changes.slice(0, changes)) {
      if (membership === "join") joined.add(user);
      else joined.delete(user);
    }
    return [...joined];
  }

  /** The user of the scene is its room's only one with power. */
  #sorted(changes: number, sort: string): string[] {
    const byName = this.#joined(changes).sort();
    return sort === "by_name" ? byName : byName.toSorted((a, b) => Number(b === this.#me) - Number(a === this.#me));
  }

  #batchOf(message: number): number {
    return this.#messageBatches[message - 1] ?? 0;
  }

  #session(place: Place): Session {
    const session = this.sessions[place.session];
    if (!session) throw new Error("no such session");
    return session;
  }
}

/** The numbers after `from`, up to and with `to`. */
function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index + 1);
}

/** D9, for the parameters that there are here. */
function merge(before: Params, body: Body): Params {
  const after: Params = { ...before };
  if (body.typing === null) delete after.typing;
  else if (body.typing) after.typing = patched(before.typing ?? {}, body.typing);
  if (body.to_device === null) delete after.to_device;
  else if (body.to_device) after.to_device = patched(before.to_device ?? {}, body.to_device);
  if (body.room_members === null) delete after.room_members;
  else if (body.room_members) {
    const { room_id, p = {} } = body.room_members;
    after.room_members = { ...before.room_members, ...(room_id !== undefined && { room_id }), ...p };
  }
  if (body.account_data === null) delete after.account_data;
  else if (body.account_data) after.account_data = true;
  return after;
}

function patched<Value>(before: Record<string, Value>, patch: Record<string, Value | null | undefined>): Record<string, Value> {
  const after = { ...before };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete after[key];
    else if (value !== undefined) after[key] = value;
  }
  return after;
}
