/** Schemas of events in answers. Other members that the homeserver adds are kept, and what it sends that is not an event is passed on unchanged. */

import Type, { type TSchema } from "typebox";

/** Further members are allowed: the homeserver may add its own. */
const open = { additionalProperties: true } as const;

/** Ids as the most tolerant of the strict clients accept them (N6). Ids inside events are not checked by syncv3. */
const [USER_ID, ROOM_ID, EVENT_ID] = ["^@[^:]*:[^:]", "^!", "^\\$"] as const;
export const userIdSchema = Type.String({ pattern: USER_ID });
export const roomIdSchema = Type.String({ pattern: ROOM_ID });

/** A count, 0 or more. */
export const countSchema = Type.Integer({ minimum: 0 });

/** Any content: what is in it depends on the event's type. */
export const contentSchema = Type.Record(Type.String(), Type.Unknown());

export const eventSchema = Type.Object(
  {
    type: Type.String(),
    event_id: Type.String(),
    sender: Type.String(),
    content: contentSchema,
    origin_server_ts: Type.Number({ description: "ms since 1970, as the sender's server says" }),
    room_id: Type.Optional(Type.String({ description: "Absent where the event stands under its room" })),
    state_key: Type.Optional(Type.String({ description: "Of state events alone" })),
    unsigned: Type.Optional(contentSchema),
  },
  { title: "MatrixEvent", description: "A room's event", ...open },
);

/** Type, sender and content are what the sender sent. */
export const toDeviceSchema = Type.Object(
  { type: Type.String(), sender: Type.String(), content: contentSchema },
  { title: "ToDeviceMessage", description: "Byte for byte as the homeserver sent it", ...open },
);

export const accountDataSchema = Type.Object(
  { type: Type.String(), content: contentSchema },
  { title: "AccountData", description: "The account's own data of one type", ...open },
);

export const strippedSchema = Type.Object(
  { type: Type.String(), sender: Type.String(), state_key: Type.String(), content: contentSchema },
  { title: "StrippedEvent", description: "State of a room that the user is not in", ...open },
);

export const typingSchema = Type.Object(
  { type: Type.Literal("m.typing"), room_id: Type.Optional(roomIdSchema), content: Type.Object({ user_ids: Type.Array(userIdSchema) }) },
  { title: "TypingEvent", description: "Who is typing: the full set" },
);

/** Keyed by event, kind and user. */
const receipt = Type.Object(
  { ts: Type.Optional(Type.Integer({ minimum: 0, description: "ms since 1970" })), thread_id: Type.Optional(Type.String()) },
  { title: "Receipt", description: "When, and of which thread", ...open },
);
const receiptContent = keyed(EVENT_ID, Type.Record(Type.String(), keyed(USER_ID, receipt)));
export const receiptContentSchema = { ...receiptContent, title: "ReceiptContent", description: "By event, kind (m.read, …) and user" } as TSchema;

export const receiptSchema = Type.Object(
  { type: Type.Literal("m.receipt"), content: receiptContentSchema },
  { title: "ReceiptEvent", description: "What changed of a room's receipts" },
);

export const presenceSchema = Type.Object(
  { type: Type.String(), sender: userIdSchema, content: contentSchema },
  { title: "PresenceEvent", description: "Whether a user is online", ...open },
);

export const heroSchema = Type.Object(
  {
    user_id: userIdSchema,
    displayname: Type.Optional(Type.String()),
    avatar_url: Type.Optional(Type.String()),
  },
  { title: "Hero", description: "Whom a room without a name is called after" },
);

const deviceListsSchema = Type.Object(
  { changed: Type.Array(userIdSchema), left: Type.Array(userIdSchema) },
  { title: "DeviceLists", description: "Users whose device lists changed, and users with whom no encrypted room is shared any more" },
);

export const e2eeSchema = Type.Object(
  {
    device_lists: Type.Optional(deviceListsSchema),
    device_one_time_keys_count: Type.Optional(Type.Record(Type.String(), countSchema, { description: "By algorithm" })),
    device_unused_fallback_key_types: Type.Optional(Type.Array(Type.String())),
  },
  { title: "E2ee", description: "What encryption needs" },
);

/** Keyed by room. */
export function byRoom<Schema extends TSchema>(schema: Schema) {
  return keyed(ROOM_ID, schema);
}

export function byUser<Schema extends TSchema>(schema: Schema) {
  return keyed(USER_ID, schema);
}

/** An object whose keys are ids. */
function keyed<Schema extends TSchema>(pattern: string, schema: Schema) {
  return Type.Record(Type.String(), schema, { propertyNames: { pattern } });
}
