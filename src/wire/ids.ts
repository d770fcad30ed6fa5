/** Branded identifiers: a string or number that was checked once, so that different kinds are never mixed up. */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A Matrix room id, `!…`. */
export type RoomId = Branded<string, "RoomId">;
/** A Matrix user id, `@local:server`. */
export type UserId = Branded<string, "UserId">;
/** A Matrix event id, `$…`. */
export type EventId = Branded<string, "EventId">;
/** accounts.account: one Matrix user of the homeserver. */
export type AccountNo = Branded<number, "AccountNo">;
/** devices.device: one device of an account. */
export type DeviceNo = Branded<number, "DeviceNo">;
/** sessions.session. */
export type SessionNo = Branded<number, "SessionNo">;
/** An ordinal of an account that ends a batch; 0 = nothing yet. */
export type Position = Branded<number, "Position">;

/** True for a text that PostgreSQL can store and returns unchanged: no NUL, no lone surrogate. */
export function isStorable(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}
