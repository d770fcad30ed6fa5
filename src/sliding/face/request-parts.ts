/** Parts of a request that both dialects read in the same way, within the bounds of N10. */

import type { ProfilesScope, Scope, SlidingFilters } from "../request.ts";
import type { RequiredState } from "../required-state.ts";
import { invalidParam } from "../../wire/errors.ts";
import { isFieldName } from "../../wire/profile.ts";
import { atMost, requestBounds } from "../../wire/request-bounds.ts";

/** How a dialect writes required_state. */
export type StateDialect<Body> = {
  /** How many parts the client wrote, which is checked before they are processed. */
  readonly size: (body: Body) => number;
  readonly read: (body: Body) => RequiredState;
};

/**
 * The required_state configs of one request. Equal ones become one object, so that later work on a config is done once and not per list or
 * subscription.
 */
export class StateConfigs<Body> {
  readonly #dialect: StateDialect<Body>;
  readonly #known = new Map<string, RequiredState>();
  #entries = 0;
  #characters = 0;

  constructor(dialect: StateDialect<Body>) {
    this.#dialect = dialect;
  }

  /** @param where names the list or subscription. @throws MatrixError 400 M_INVALID_PARAM if it is too large, or all of them together are */
  read(where: string, body: Body): RequiredState {
    const text = JSON.stringify(body);
    const known = this.#known.get(text);
    if (known) return known;
    const { stateEntries, allStateEntries, stateCharacters } = requestBounds();
    atMost(`${where}.required_state`, this.#dialect.size(body), stateEntries);
    const state = this.#dialect.read(body);
    const entries = state.atoms.reduce((sum, atom) => sum + 1 + (atom.not?.length ?? 0), 0);
    atMost(`${where}.required_state`, entries, stateEntries, "entries, each counted once more for each exclusion that narrows it");
    this.#entries += entries;
    this.#characters += text.length;
    atMost("required_state", this.#entries, allStateEntries, "different entries in one request");
    atMost("required_state", this.#characters, stateCharacters, "characters in one request");
    this.#known.set(text, state);
    return state;
  }
}

/** @throws MatrixError 400 M_INVALID_PARAM that names the filter */
export function checkFilters(where: string, filters: SlidingFilters): SlidingFilters {
  const { filterValues, nameCharacters } = requestBounds();
  const lists = {
    spaces: filters.spaces,
    room_types: filters.roomTypes,
    not_room_types: filters.notRoomTypes,
    tags: filters.tags,
    not_tags: filters.notTags,
  };
  for (const [name, values] of Object.entries(lists)) atMost(`${where}.filters.${name}`, values?.length ?? 0, filterValues);
  atMost(`${where}.filters.room_name_like`, filters.roomNameLike?.length ?? 0, nameCharacters, "characters");
  return filters;
}

const MAX_THREADS = 100;

/** Changes of thread subscriptions in an answer (MSC4308): servers may impose a smaller limit than what is asked for. */
export function threadsLimit(asked: number | null): number {
  return Math.min(Math.max(1, asked ?? MAX_THREADS), MAX_THREADS);
}

type ScopeBody = { readonly lists?: readonly string[] | null; readonly rooms?: readonly string[] | null };

/** @param isAll whether names stand for all lists or rooms. @throws MatrixError 400 M_INVALID_PARAM that names the field */
export function scopeOf(where: string, { lists, rooms }: ScopeBody, isAll: (names: readonly string[]) => boolean): Scope {
  const { scopeLists, namedRooms } = requestBounds();
  atMost(`extensions.${where}.lists`, lists?.length ?? 0, scopeLists);
  atMost(`extensions.${where}.rooms`, rooms?.length ?? 0, namedRooms);
  const names = (given: readonly string[] | null | undefined) => (!given || isAll(given) ? "all" : new Set(given));
  return { lists: names(lists), rooms: names(rooms) };
}

type ProfilesBody = ScopeBody & { readonly fields?: readonly string[] | null };

/** @throws MatrixError 400 M_INVALID_PARAM that names the field */
export function profilesOf(body: ProfilesBody, isAll: (names: readonly string[]) => boolean): ProfilesScope {
  const { fields } = body;
  atMost("extensions.profiles.fields", fields?.length ?? 0, requestBounds().profileFields);
  if (fields?.every(isFieldName) === false) throw invalidParam("extensions.profiles.fields: a name has 1 to 255 bytes");
  return { ...scopeOf("profiles", body, isAll), fields: fields ? [...new Set(fields)].toSorted() : null };
}
