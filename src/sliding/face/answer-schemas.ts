/** The bodies of answers of simplified sliding sync, in both dialects (MSC4186), for documentation and for the types of clients. */

import Type, { type TSchema } from "typebox";
import {
  accountDataSchema,
  byRoom,
  byUser,
  countSchema,
  e2eeSchema,
  eventSchema,
  heroSchema,
  presenceSchema,
  receiptContentSchema,
  receiptSchema,
  roomIdSchema,
  strippedSchema,
  toDeviceSchema,
  typingSchema,
  userIdSchema,
} from "../../http/event-schema.ts";
import { THREADS_EXTENSION } from "../../wire/thread-subscriptions.ts";

const text = Type.String();
const texts = Type.Array(text);
const optional = Type.Optional;
const events = Type.Array(eventSchema);
const pos = Type.String({ description: "Position of the next request" });

const room = {
  initial: optional(Type.Literal(true, { description: "All of the room, not what changed" })),
  heroes: optional(Type.Array(heroSchema)),
  is_dm: optional(Type.Boolean()),
  joined_count: optional(countSchema),
  invited_count: optional(countSchema),
  bump_stamp: optional(Type.Integer({ description: "Rooms are sorted by it, the highest first" })),
  timeline: optional(Type.Array(eventSchema, { description: "The last one is the newest" })),
  limited: optional(Type.Boolean({ description: "There are events between these and those sent before" })),
  prev_batch: optional(Type.Union([text, Type.Null()], { description: "For /messages, where older events are" })),
  num_live: optional(Type.Integer({ minimum: 0, description: "So many events at the timeline's end are new" })),
};
/** null: the room does not have it any more. */
const gone = optional(Type.Union([text, Type.Null()]));

const toDevice = Type.Object(
  {
    next_batch: Type.String({ description: "`since` of the next request: it acknowledges these" }),
    events: Type.Array(toDeviceSchema),
  },
  { title: "SlidingToDevice" },
);
const accountData = Type.Object(
  { global: Type.Array(accountDataSchema), rooms: byRoom(Type.Array(accountDataSchema)) },
  { title: "SlidingAccountData" },
);
const subscription = Type.Object({ automatic: Type.Boolean(), bump_stamp: countSchema }, { title: "ThreadSubscription" });
const unsubscription = Type.Object({ bump_stamp: countSchema }, { title: "ThreadUnsubscription" });
const threads = Type.Object(
  {
    subscribed: optional(byRoom(Type.Record(text, subscription))),
    unsubscribed: optional(byRoom(Type.Record(text, unsubscription))),
    prev_batch: optional(Type.String({ description: "`from` of /thread_subscriptions, where the others are" })),
  },
  { title: "SlidingThreadSubscriptions", description: "By room and root of the thread" },
);
const presence = Type.Object({ events: Type.Array(presenceSchema) }, { title: "SlidingPresence" });
const profiles = Type.Object(
  {
    users: byUser(
      Type.Union([
        Type.Object({
          updated: optional(Type.Record(text, Type.Unknown(), { description: "The fields that are new or changed" })),
          removed: optional(Type.Array(text, { description: "The fields that are gone" })),
        }),
        Type.Null({ description: "The user shares no room any more" }),
      ]),
    ),
  },
  { title: "SlidingProfiles" },
);
const stickyEvents = Type.Object(
  {
    next_batch: Type.String({ description: "`since` of the next request: it acknowledges these" }),
    rooms: byRoom(Type.Object({ events })),
  },
  { title: "SlidingStickyEvents" },
);
const inRooms = <Schema extends TSchema>(schema: Schema) => Type.Object({ rooms: byRoom(schema) });

export const unstableAnswerSchema = Type.Object({
  pos,
  txn_id: optional(text),
  lists: optional(
    Type.Record(
      text,
      Type.Object({
        count: countSchema,
        ops: Type.Array(
          Type.Object({
            op: Type.Literal("SYNC"),
            range: Type.Array(Type.Integer(), { minItems: 2, maxItems: 2 }),
            room_ids: Type.Array(roomIdSchema),
          }),
        ),
      }),
    ),
  ),
  rooms: byRoom(
    Type.Object(
      {
        ...room,
        name: optional(text),
        avatar: gone,
        notification_count: optional(countSchema),
        highlight_count: optional(countSchema),
        invite_state: optional(Type.Array(strippedSchema)),
        required_state: optional(events),
        unstable_expanded_timeline: optional(Type.Literal(true)),
      },
      { title: "SlidingRoom", description: "A room: in full if `initial`, otherwise what is new" },
    ),
  ),
  extensions: Type.Object({
    to_device: optional(toDevice),
    e2ee: optional(e2eeSchema),
    account_data: optional(accountData),
    "org.matrix.msc4262.profiles": optional(profiles),
    receipts: optional(inRooms(receiptSchema)),
    "org.matrix.msc4354.sticky_events": optional(stickyEvents),
    typing: optional(inRooms(typingSchema)),
    presence: optional(presence),
    [THREADS_EXTENSION]: optional(threads),
  }),
});

const stub = Type.Object({ type: text, state_key: text }, { title: "StateStub", description: "State that is gone" });
const typingContent = Type.Object({ user_ids: Type.Array(userIdSchema) });
const [receipts, typing] = [inRooms(receiptContentSchema), inRooms(typingContent)];

const v4Room = {
  ...room,
  name: gone,
  avatar: gone,
  membership: text,
  stripped_state: optional(Type.Array(strippedSchema)),
  required_state: optional(Type.Array(Type.Union([eventSchema, stub]))),
};
const v4Extensions = Type.Object({
  to_device: optional(toDevice),
  "org.matrix.msc4538.to_device": optional(toDevice),
  e2ee: optional(e2eeSchema),
  "org.matrix.msc4543.e2ee": optional(e2eeSchema),
  account_data: optional(accountData),
  "org.matrix.msc4548.account_data": optional(accountData),
  profiles: optional(profiles),
  "org.matrix.msc4262.profiles": optional(profiles),
  receipts: optional(receipts),
  "org.matrix.msc4551.receipts": optional(receipts),
  sticky_events: optional(stickyEvents),
  "org.matrix.msc4354.sticky_events": optional(stickyEvents),
  typing: optional(typing),
  "org.matrix.msc4508.typing": optional(typing),
  presence: optional(presence),
  thread_subscriptions: optional(threads),
  [THREADS_EXTENSION]: optional(threads),
});

export const v4AnswerSchema = Type.Object({
  pos,
  lists: optional(Type.Record(text, Type.Object({ count: countSchema }))),
  rooms: byRoom(
    Type.Object(
      { ...v4Room, lists: optional(texts), expanded_timeline: optional(Type.Literal(true)) },
      { title: "V4Room", description: "A room: in full if `initial`, otherwise what is new" },
    ),
  ),
  extensions: v4Extensions,
});

const { num_live: _live, ...pagedRoom } = v4Room;

/** MSC4525. A request with tuples in `required_state` is answered with rooms and extensions of the unstable dialect. */
export const pagedAnswerSchema = Type.Object({
  pos,
  rooms: byRoom(Type.Object(pagedRoom, { title: "PagedRoom", description: "A room: in full if `initial`, otherwise what is new" })),
  pending: optional(Type.Integer({ minimum: 1, description: "So many more rooms have something new: the next request is answered at once" })),
  total_rooms: countSchema,
  extensions: v4Extensions,
});
