/** A room as its homeserver has it, played at random, and what v2 responses say of it. */

import fc from "fast-check";

import { ev, type Json, type MatrixEvent, type RoomParts } from "./events.ts";

const USERS = ["@u0:test", "@u1:test", "@u2:test"] as const;

/** What happens in one room between two polls, and how much of it the homeserver sends. `reset`: its state changes without an event. */
export type RoomStep = {
  readonly room: number;
  readonly events: readonly number[];
  readonly show: number;
  readonly leave: boolean;
  readonly reset: boolean;
};

/** `isUnruly`: with events that do not take effect, and with state that changes without an event (T21). */
export function roomStep(rooms: number, isUnruly = false): fc.Arbitrary<RoomStep> {
  return fc.record({
    room: fc.nat(rooms - 1),
    events: fc.array(fc.nat(isUnruly ? 14 : 11), { maxLength: 6 }),
    // More than happened: events that were sent before come again.
    show: fc.nat(9),
    leave: fc.boolean(),
    reset: isUnruly ? fc.boolean() : fc.constant(false),
  });
}

type State = Map<string, MatrixEvent>;
type Played = { readonly to: "join" | "leave"; readonly section: RoomParts; readonly after: RoomParts };

/** Every event there ever was, and which of them the account was sent. */
export class ModelRoom {
  readonly events: MatrixEvent[] = [];
  readonly #me: string;
  joined = false;
  /** Indices of the events that were sent, in the order of the account's timeline. */
  readonly sent: number[] = [];
  /** First events of newly joined rooms that do follow our newest one: nothing shows that, so a gap is right as well. */
  readonly unclear = new Set<number>();
  readonly #overruled = new Set<MatrixEvent>();
  /** What the state is changed to after the event of an index. */
  readonly #resets = new Map<number, MatrixEvent>();

  constructor(me: string) {
    this.#me = me;
  }

  /** The v2 section of what happens now: with the state before its timeline, and with the state after it (MSC4222). */
  play(now: RoomStep): Played {
    const since = this.events.length;
    const before = this.stateAt(since - 1);
    if (since === 0) this.events.push(ev.create(USERS[0]));
    for (const n of now.events) this.#append(n);
    const isNew = !this.joined;
    if (isNew) this.#push(ev.member(this.#me));
    if (now.reset && this.events.length === since) this.#push(ev.message(this.#me));
    if (now.reset) this.#reset();
    const leaves = !isNew && now.leave;
    if (leaves) this.#push(ev.member(this.#me, "leave"));
    this.joined = !leaves;
    // A timeline reaches back before the last poll only if a room is newly joined, or over events that were sent.
    const floor = isNew || this.sent.at(-1) === since - 1 ? 0 : since;
    const start = Math.max(floor, this.events.length - now.show);
    const atStart = this.stateAt(start - 1);
    const state = [...atStart].filter(([key, event]) => isNew || (start > since && before.get(key) !== event)).map(([, event]) => event);
    const seen = new Set(this.sent);
    let first = start;
    for (let index = start; index < this.events.length; index += 1) if (seen.has(index)) first = index + 1;
    if (isNew && first === start) this.unclear.add(first);
    const limited = isNew ? start > 0 : start > since;
    for (let index = first; index < this.events.length; index += 1) this.sent.push(index);
    const timeline = this.events.slice(start);
    const common = { timeline, limited, prev_batch: `p${start}` };
    const stateAfter = this.#changed(since, isNew);
    return { to: leaves ? "leave" : "join", section: { ...common, state }, after: { ...common, state_after: stateAfter } };
  }

  /** The state after the event of that index, by type and key. */
  stateAt(index: number): State {
    const state: State = new Map();
    for (const [at, event] of this.events.slice(0, index + 1).entries()) {
      if (event.state_key !== undefined && !this.#overruled.has(event)) state.set(keyOf(event), event);
      const reset = this.#resets.get(at);
      if (reset) state.set(keyOf(reset), reset);
    }
    return state;
  }

  /** Whatever changed after the first `since` events, also if it changed back. */
  #changed(since: number, isNew: boolean): MatrixEvent[] {
    const now = this.stateAt(this.events.length - 1);
    const changes = this.events.slice(since).filter((event) => !this.#overruled.has(event));
    for (const [at, event] of this.#resets) if (at >= since) changes.push(event);
    const keys = new Set(changes.map(keyOf));
    return [...now].filter(([key]) => isNew || keys.has(key)).map(([, event]) => event);
  }

  #append(n: number): void {
    const user = USERS[n % 3] ?? USERS[0];
    if (n < 3) this.#push(ev.message(user));
    else if (n < 6) this.#push(ev.member(user, ["join", "leave", "invite"][this.events.length % 3]));
    else if (n < 9) this.#push(ev.state("x", String(n), user, {}));
    else if (n < 11) this.#push(ev.topic(user, "t"));
    else if (n < 12) this.#push(ev.name(user, "n"));
    else {
      // A member that a full answer does not have counts by its event, since lazy loading may have left it out.
      const isMember = n === 12 && this.stateAt(this.events.length - 1).has(`m.room.member|${user}`);
      const event = isMember ? ev.member(user, "leave") : ev.topic(user, "overruled");
      this.#overruled.add(event);
      this.#push(event);
    }
  }

  /** Says what it replaces, as homeservers do. */
  #push(event: MatrixEvent): void {
    const replaced = event.state_key === undefined ? undefined : this.stateAt(this.events.length - 1).get(keyOf(event));
    const unsigned: Json = replaced ? { replaces_state: replaced.event_id, prev_content: replaced.content, prev_sender: replaced.sender } : {};
    this.events.push(Object.assign(event, { unsigned }));
  }

  /** The oldest event of a key that has had several becomes the present one. */
  #reset(): void {
    const now = [...this.stateAt(this.events.length - 1).values()].filter((event) => event.state_key !== this.#me);
    const older = (event: MatrixEvent) => this.events.find((each) => each.state_key !== undefined && keyOf(each) === keyOf(event) && each !== event);
    const target = now.map(older).find((event) => event !== undefined && !this.#overruled.has(event));
    if (target) this.#resets.set(this.events.length - 1, target);
  }
}

function keyOf(event: MatrixEvent): string {
  return `${event.type}|${event.state_key}`;
}
