/**
 * What `POST /_matrix/client/v3/sync` may ask for (R4, part 3). One schema is the type, the check and the documentation.
 * Every parameter may be null, which restores its default (D9).
 */

import Type, { type Static, type TSchema } from "typebox";
import type { RoomId } from "../wire/ids.ts";

const orNull = <Schema extends TSchema>(schema: Schema) => Type.Optional(Type.Union([schema, Type.Null()]));
const text = Type.String();
const texts = Type.Array(text);
const limit = Type.Integer();
const pairs = Type.Array(Type.Tuple([text, text]));
const roomId = Type.Unsafe<RoomId>(text);
/** A room, or all rooms that the room list tracks. */
const roomOrList = Type.Unsafe<RoomId | "room_list">(text);
const page = Type.Object({ limit: orNull(limit), sort: orNull(Type.Union([text, texts])), since: orNull(text) });

const filters = Type.Object({
  is_dm: orNull(Type.Boolean()),
  is_encrypted: orNull(Type.Boolean()),
  tags: orNull(texts),
  not_tags: orNull(texts),
  room_types: orNull(Type.Array(Type.Union([text, Type.Null()]))),
  not_room_types: orNull(Type.Array(Type.Union([text, Type.Null()]))),
  room_name_like: orNull(text),
});

/** One member per stream; null ends the stream. */
export const syncRequestSchema = Type.Object({
  typing: orNull(Type.Object({ room_id: orNull(roomOrList) })),
  to_device: orNull(Type.Object({ limit: orNull(limit) })),
  room_members: orNull(Type.Object({ room_id: orNull(roomId), membership: orNull(texts), p: orNull(page) })),
  room: orNull(
    Type.Object({
      room_id: orNull(roomOrList),
      timeline_limit: orNull(limit),
      types: orNull(texts),
      not_types: orNull(texts),
      state: orNull(Type.Union([Type.Literal("all"), pairs])),
      room_member_limit: orNull(limit),
      room_member_sort: orNull(text),
      earliest_timeline_event_ids: orNull(texts),
    }),
  ),
  room_list: orNull(
    Type.Object({
      p: orNull(page),
      state_events: orNull(pairs),
      spaces: orNull(Type.Array(roomId)),
      timeline_limit: orNull(limit),
      lazy_load_members: orNull(Type.Boolean()),
      track_notifications: orNull(Type.Boolean()),
      filters: orNull(filters),
      rooms: orNull(Type.Boolean()),
    }),
  ),
  feed: orNull(Type.Object({ limit: orNull(limit), rooms: orNull(Type.Array(roomId)) })),
  invites: orNull(Type.Object({})),
  account_data: orNull(
    Type.Object({ global: orNull(Type.Boolean()), rooms: orNull(Type.Union([Type.Unsafe<"*" | "room_list">(text), Type.Array(roomId)])) }),
  ),
  receipts: orNull(Type.Object({ room_id: orNull(roomOrList) })),
  presence: orNull(Type.Object({})),
  e2ee: orNull(Type.Object({})),
});

/** A checked request body. */
export type SyncBody = Static<typeof syncRequestSchema>;

export type StreamKey = keyof SyncBody;

/** Merging a request into the remembered parameters removes all nulls, except those in lists (D9). */
type WithoutNulls<T> = T extends readonly unknown[] | string
  ? T
  : T extends object
    ? { readonly [Key in keyof T]: WithoutNulls<Exclude<T[Key], null>> }
    : T;

/** The sticky parameters of a session, by stream. */
export type SyncParams = WithoutNulls<SyncBody>;

/** The parameters of one requested stream. */
export type ParamsOf<Key extends StreamKey> = NonNullable<SyncParams[Key]>;
