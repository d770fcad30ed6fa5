/** Events as answers hold them. What the homeserver says beside this is kept; where it tells what is no event, that passes as it is. */

import Type, { type TSchema } from "typebox";

/** Members beside those that are named are possible: the homeserver's own. */
const open = { additionalProperties: true } as const;

/** Any content: an event's type says what is in it. */
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

/** Type, sender and content as whoever sent it says. */
export const toDeviceSchema = Type.Object(
  { type: Type.String(), sender: Type.String(), content: contentSchema },
  { title: "ToDeviceMessage", description: "Byte for byte as the homeserver told it", ...open },
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
  { type: Type.Literal("m.typing"), room_id: Type.Optional(Type.String()), content: Type.Object({ user_ids: Type.Array(Type.String()) }) },
  { title: "TypingEvent", description: "Who is typing: the whole set" },
);

/** By event, kind and user. */
const receiptContent = Type.Record(Type.String(), Type.Record(Type.String(), Type.Record(Type.String(), contentSchema)));
export const receiptContentSchema = { ...receiptContent, title: "ReceiptContent", description: "By event, kind (m.read, …) and user" } as TSchema;

export const receiptSchema = Type.Object(
  { type: Type.Literal("m.receipt"), content: receiptContentSchema },
  { title: "ReceiptEvent", description: "What changed of a room's receipts" },
);

export const heroSchema = Type.Object(
  {
    user_id: Type.String(),
    displayname: Type.Optional(Type.String()),
    avatar_url: Type.Optional(Type.String()),
  },
  { title: "Hero", description: "Whom a room without a name is called after" },
);

const deviceListsSchema = Type.Object(
  { changed: Type.Array(Type.String()), left: Type.Array(Type.String()) },
  { title: "DeviceLists", description: "Users whose device lists changed, and users with whom no encrypted room is shared any more" },
);

export const e2eeSchema = Type.Object(
  {
    device_lists: Type.Optional(deviceListsSchema),
    device_one_time_keys_count: Type.Optional(Type.Record(Type.String(), Type.Integer(), { description: "By algorithm" })),
    device_unused_fallback_key_types: Type.Optional(Type.Array(Type.String())),
  },
  { title: "E2ee", description: "What encryption needs" },
);

/** A count, 0 or more. */
export const countSchema = Type.Integer({ minimum: 0 });

/** By room. */
export function byRoom<Schema extends TSchema>(schema: Schema) {
  return Type.Record(Type.String(), schema);
}
