/**
 * required_state (MSC4186, in both dialects): which state of a room is sent. In the normal form, atoms are joined by "or", so that configs of
 * several lists are combined by joining their atoms, and a connection can remember each atom by itself.
 */

import { LRUCache } from "lru-cache";
import type { StateSelector } from "../store/state.ts";
import { requestBounds } from "../wire/request-bounds.ts";
import { type Pattern, PatternSet } from "./pattern-set.ts";

export type Atom = Pattern & {
  /** Exceptions: what the atom does not match. */
  readonly not?: readonly Pattern[];
  /** The atom has no type, but does not match members: those are sent one by one, or lazily. */
  readonly noMembers?: true;
};

export type RequiredState = {
  readonly atoms: readonly Atom[];
  /** Members are sent as the timeline needs them. */
  readonly lazy: boolean;
};

export const NO_STATE: RequiredState = { atoms: [], lazy: false };

const MEMBER = "m.room.member";

/** The most atoms with a concrete key that are remembered per type. The oldest are forgotten, and sent again when they are asked for again. */
const MAX_KEYS = 100;

/** The superset of some configs, without duplicates. */
export function combine(configs: readonly RequiredState[]): RequiredState {
  const [only] = configs;
  if (only && configs.length === 1) return only;
  const atoms = new Map(configs.flatMap((config) => config.atoms.map((atom) => [keyOf(atom), atom] as const)));
  return { atoms: [...atoms.values()], lazy: configs.some((config) => config.lazy) };
}

/** A compiled config. */
export type StateMatcher = {
  readonly state: RequiredState;
  /** Equal configs have equal keys. */
  readonly key: string;
  /** Unique to the matcher, even among equal configs, and short enough to be part of cache keys. */
  readonly id: number;
  /** Whether an event with that type and key is asked for by name or wildcard; lazy members are not. */
  matches(type: string, key: string): boolean;
  /** For reading: matches at least what `matches` does, except members. */
  readonly selector: StateSelector;
  /** Members that are named individually. */
  readonly memberKeys: readonly string[];
  /** Every member is asked for. */
  readonly allMembers: boolean;
};

/** Characters of the keys in each of the two caches. A compiled config takes about ten times as much. */
const MAX_CHARACTERS = 1_000_000;
const cacheOptions = { maxSize: MAX_CHARACTERS, sizeCalculation: (_: StateMatcher, key: string) => key.length + 1 };
const matchers = new LRUCache<string, StateMatcher>(cacheOptions);
/** By the text that a client wrote, since clients repeat it in the same order. */
const written = new LRUCache<string, StateMatcher>(cacheOptions);
/** Many rooms share one config object, so its key is computed once. */
const known = new WeakMap<RequiredState, StateMatcher>();

export function matcherOf(state: RequiredState): StateMatcher {
  let matcher = known.get(state);
  if (!matcher) known.set(state, (matcher = found(state)));
  return matcher;
}

function found(state: RequiredState): StateMatcher {
  const text = JSON.stringify(state);
  let matcher = written.get(text);
  if (!matcher) written.set(text, (matcher = made(state)));
  return matcher;
}

function made(state: RequiredState): StateMatcher {
  const atoms = new Set(state.atoms.map(keyOf));
  const key = JSON.stringify([state.lazy, ...[...atoms].toSorted()]);
  let matcher = matchers.get(key);
  if (!matcher) matchers.set(key, (matcher = compile(state, key)));
  return matcher;
}

const atomKeys = new WeakMap<Atom, string>();

/** Equal atoms have equal keys. */
function keyOf(atom: Atom): string {
  let text = atomKeys.get(atom);
  if (text === undefined) {
    text = JSON.stringify([atom.type, atom.key, atom.noMembers, atom.not?.map(({ type, key }) => [type, key])]);
    atomKeys.set(atom, text);
  }
  return text;
}

function matchesAtom(atom: Atom, type: string, key: string): boolean {
  if (atom.noMembers && atom.type === undefined && type === MEMBER) return false;
  return fits(atom, type, key) && !atom.not?.some((pattern) => fits(pattern, type, key));
}

/**
 * What a connection remembers of a room's config after an answer: what is asked for now, and what was asked for once and has not changed since, so
 * that it need not be sent when it is asked for again. `changed`: what changed and was not sent. `flushed`: after a gap a client forgets members
 * that it does not ask for (MSC4186, "Lazy loaded memberships").
 */
export function remembered(
  before: RequiredState,
  now: RequiredState,
  changed: readonly { readonly type: string; readonly key: string }[],
  flushed: boolean,
): RequiredState {
  if (flushed || changed.some(({ type, key }) => matcherOf(before).matches(type, key))) return rememberedOf(before, now, changed, flushed);
  let ofBefore = untouched.get(before);
  if (!ofBefore) untouched.set(before, (ofBefore = new WeakMap()));
  let result = ofBefore.get(now);
  if (!result) ofBefore.set(now, (result = rememberedOf(before, now, [], false)));
  return result;
}

/** What is remembered if nothing changed, by the config before and the one now. Most rooms of a connection share both. */
const untouched = new WeakMap<RequiredState, WeakMap<RequiredState, RequiredState>>();

function rememberedOf(
  before: RequiredState,
  now: RequiredState,
  changed: readonly { readonly type: string; readonly key: string }[],
  flushed: boolean,
): RequiredState {
  const asked = new Set(now.atoms.map(keyOf));
  const others = before.atoms.filter((atom) => !asked.has(keyOf(atom)));
  const held = flushed ? others.flatMap(withoutMembers) : others;
  const unchanged = held.filter((atom) => !changed.some(({ type, key }) => matchesAtom(atom, type, key)));
  const most = requestBounds().rememberedEntries;
  const perType = new Map<string, number>();
  let entries = 0;
  const bounded = unchanged.toReversed().filter((atom) => {
    const count = (perType.get(atom.type ?? "*") ?? 0) + 1;
    perType.set(atom.type ?? "*", count);
    entries += 1 + (atom.not?.length ?? 0);
    return count <= MAX_KEYS && entries <= most;
  });
  // What is asked for now comes last, since it is the newest when the next config is remembered.
  return bounded.length === 0 ? now : { atoms: [...bounded.toReversed(), ...now.atoms], lazy: now.lazy };
}

/** What two configs both ask for. */
const overlaps = new WeakMap<RequiredState, WeakMap<RequiredState, RequiredState>>();

/** The part of an earlier config that is still asked for. */
export function overlap(before: RequiredState, asked: RequiredState): RequiredState {
  let ofBefore = overlaps.get(before);
  if (!ofBefore) overlaps.set(before, (ofBefore = new WeakMap()));
  let result = ofBefore.get(asked);
  if (!result) {
    const keys = new Set(asked.atoms.map(keyOf));
    ofBefore.set(asked, (result = { atoms: before.atoms.filter((atom) => keys.has(keyOf(atom))), lazy: before.lazy }));
  }
  return result;
}

function withoutMembers(atom: Atom): Atom[] {
  if (atom.type === undefined) return [{ ...atom, noMembers: true }];
  return atom.type === MEMBER ? [] : [atom];
}

function reachesMembers({ type, noMembers, not }: Atom): boolean {
  if (type !== undefined ? type !== MEMBER : noMembers) return false;
  return !not?.some((pattern) => pattern.key === undefined && (pattern.type ?? MEMBER) === MEMBER);
}

function fits(pattern: Pattern, type: string, key: string): boolean {
  return (pattern.type === undefined || pattern.type === type) && (pattern.key === undefined || pattern.key === key);
}

let lastId = 0;
const nextId = (): number => (lastId += 1);

function compile(state: RequiredState, key: string): StateMatcher {
  const { atoms } = state;
  const members = atoms.filter(reachesMembers);
  const pairs = atoms.filter((atom) => atom.type !== MEMBER).map((atom) => [atom.type ?? "*", atom.key ?? "*"] as const);
  return {
    state,
    key,
    id: nextId(),
    matches: matching(atoms),
    selector: pairs.some(([type, stateKey]) => type === "*" && stateKey === "*") ? "all" : pairs,
    memberKeys: members.flatMap((atom) => atom.key ?? []),
    allMembers: members.some((atom) => atom.key === undefined),
  };
}

/** Whether any atom matches, at a cost that does not depend on their number. */
function matching(atoms: readonly Atom[]): StateMatcher["matches"] {
  const isPlain = (atom: Atom) => !atom.not && !atom.noMembers;
  const plain = new PatternSet(atoms.filter(isPlain));
  const narrowed = atoms.filter((atom) => !isPlain(atom));
  if (narrowed.length === 0) return (type, key) => plain.has(type, key);
  const without = new Map(narrowed.map((atom) => [atom, new PatternSet(atom.not ?? [])]));
  const byType = Map.groupBy(narrowed, (atom) => atom.type);
  const byKey = Map.groupBy(byType.get(undefined) ?? [], (atom) => atom.key);
  const fitting = (type: string, key: string) => [byType.get(type), byKey.get(key), byKey.get(undefined)];
  const isMatch = (atom: Atom, type: string, key: string) =>
    fits(atom, type, key) && !(atom.noMembers && atom.type === undefined && type === MEMBER) && without.get(atom)?.has(type, key) !== true;
  return (type, key) => plain.has(type, key) || fitting(type, key).some((some) => some?.some((atom) => isMatch(atom, type, key)));
}
