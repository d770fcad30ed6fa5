/** The body of an answer of sync v3 (R13, part 3 of docs/PROTOCOL.md), for documentation and for the types of clients. */

import Type, { type TSchema } from "typebox";
import {
  accountDataSchema,
  byRoom,
  contentSchema,
  countSchema,
  e2eeSchema,
  eventSchema,
  heroSchema,
  receiptSchema,
  roomIdSchema,
  strippedSchema,
  toDeviceSchema,
  typingSchema,
  presenceSchema,
} from "../../http/event-schema.ts";

const text = Type.String();
const texts = Type.Array(text);
const optional = Type.Optional;
const orNull = <Schema extends TSchema>(schema: Schema) => optional(Type.Union([schema, Type.Null()]));
const events = Type.Array(eventSchema);

/** D18: after the last of what the stream has to send, or alone. */
const refusal = { errcode: optional(text), error: optional(text) };

const page = { limit: Type.Integer(), next: optional(Type.String({ description: "Token of the next page (R17)" })) };
const membersPage = Type.Object({ ...page, sort: text }, { title: "V3MembersPage", description: "What was negotiated (R16)" });
const listPage = Type.Object({ ...page, sort: texts }, { title: "V3ListPage", description: "What was negotiated (R16)" });

const room = Type.Object(
  {
    initial: optional(Type.Literal(true)),
    state: optional(Type.Object({ events, state_before: optional(Type.String({ description: "The event that it is the state before" })) })),
    members: optional(Type.Object({ events, p: optional(membersPage) })),
    timeline: optional(Type.Object({ events, limited: Type.Boolean(), prev_batch: Type.Union([text, Type.Null()]) })),
    notification_count: optional(countSchema),
    highlight_count: optional(countSchema),
    joined_count: optional(countSchema),
    invited_count: optional(countSchema),
  },
  { title: "V3Room", description: "A room: in full, or what is new (S4)" },
);

const entry = Type.Object(
  {
    room_id: roomIdSchema,
    name: orNull(text),
    avatar: orNull(text),
    heroes: orNull(Type.Array(heroSchema)),
    is_dm: orNull(Type.Boolean()),
    is_encrypted: orNull(Type.Boolean()),
    joined_count: orNull(countSchema),
    invited_count: orNull(countSchema),
    notification_count: orNull(countSchema),
    highlight_count: orNull(countSchema),
    tags: orNull(contentSchema),
    space_order: optional(Type.Object({ order: Type.Union([text, Type.Null()]), origin_server_ts: Type.Number() })),
    recency: Type.Number({ description: "What the list is sorted by, ms since 1970" }),
    state_events: optional(events),
    prev_batch: optional(Type.Union([text, Type.Null()])),
    timeline: optional(Type.Array(eventSchema, { description: "The last one is the newest" })),
    limited: optional(Type.Boolean()),
  },
  { title: "V3ListEntry", description: "A room as a list shows it: in full, or what changed (S5)" },
);

const notification = Type.Object(
  {
    room_id: roomIdSchema,
    notification_count: optional(countSchema),
    highlight_count: optional(countSchema),
    events: optional(events),
    timeline: optional(events),
  },
  { title: "V3Notification", description: "Of a room that was not sent (S5)" },
);

const feedEntry = Type.Object(
  {
    place: Type.Integer({ description: "Rises from entry to entry, and never changes" }),
    event: optional(eventSchema),
    gap: optional(
      Type.Object(
        {
          room_id: roomIdSchema,
          after: optional(Type.String({ description: "The last event before the gap" })),
          before: optional(Type.String({ description: "The first event after the gap" })),
          prev_batch: Type.String({ description: "For /messages, at the end of the gap" }),
        },
        { title: "V3FeedGap", description: "Events of the room that could not be had" },
      ),
    ),
  },
  { title: "V3FeedEntry", description: "An event or a gap (S6)" },
);

const pending = Type.Object({
  invite_state: optional(Type.Object({ events: Type.Array(strippedSchema) })),
  knock_state: optional(Type.Object({ events: Type.Array(strippedSchema) })),
});

export const syncAnswerSchema = Type.Object({
  next: Type.String({ description: "Token of the next request" }),
  initial_sync: optional(Type.Literal("in_progress", { description: "The account's first v2 answer is not there yet (D23)" })),
  typing: optional(Type.Object({ events: optional(Type.Array(typingSchema)), ...refusal })),
  to_device: optional(Type.Object({ limit: Type.Integer(), events: Type.Array(toDeviceSchema) })),
  room_members: optional(Type.Object({ events: optional(events), p: optional(membersPage), ...refusal })),
  room: optional(Type.Object({ rooms: optional(byRoom(room)), ...refusal })),
  room_list: optional(
    Type.Object({
      rooms: Type.Array(entry),
      count: countSchema,
      p: listPage,
      removed: optional(Type.Array(roomIdSchema)),
      notifications: optional(Type.Array(notification)),
    }),
  ),
  feed: optional(Type.Object({ limit: Type.Integer(), entries: Type.Array(feedEntry) })),
  invites: optional(Type.Object({ rooms: optional(byRoom(pending)), gone: optional(Type.Array(roomIdSchema)) })),
  account_data: optional(Type.Object({ global: optional(Type.Array(accountDataSchema)), rooms: optional(byRoom(Type.Array(accountDataSchema))) })),
  receipts: optional(Type.Object({ rooms: optional(byRoom(receiptSchema)), ...refusal })),
  presence: optional(Type.Object({ events: Type.Array(presenceSchema) })),
  e2ee: optional(e2eeSchema),
});
