/** What answers bundle with the events of a room (T7), in a short form. */

import { ev, type Json, type MatrixEvent } from "./fake-homeserver.ts";
import { SlidingClient } from "./sliding.ts";
import type { V3Client } from "./v3.ts";

/** `"m.replace"`: the edit; `"m.thread"`: [latest event, count, whether the user participated], then what is bundled with that event. */
export type Bundled = Readonly<Record<string, unknown>>;
/** By event id; events with which nothing is bundled are left out. */
export type BundledById = Readonly<Record<string, Bundled>>;

const LIMIT = 50;

/** What each API bundles, asked from scratch: with the events of a list, and of the room itself. */
export async function bundlesOf(client: V3Client, room: string): Promise<Readonly<Record<string, BundledById>>> {
  const sliding = async (dialect: "unstable" | "v4", subs: Json) => {
    const lists = { all: { ranges: [[0, 99]] as const, limit: LIMIT } };
    const answer = await new SlidingClient(client, dialect).sync({ connId: `bundles ${Math.random()}`, lists, subs: subs as never });
    return bundledIn(answer.rooms[room]?.["timeline"] as Json[]);
  };
  const v3 = await client.sync({ room_list: { timeline_limit: 20 }, room: { room_id: room, timeline_limit: LIMIT } });
  const entry = (v3["room_list"].rooms as Json[]).find((one) => one["room_id"] === room) as { timeline: Json[] };
  return {
    unstable: await sliding("unstable", {}),
    v4: await sliding("v4", {}),
    subscribed: await sliding("unstable", { [room]: { limit: LIMIT } }),
    room_list: bundledIn(entry.timeline),
    room: bundledIn(v3["room"].rooms[room].timeline.events as Json[]),
  };
}

/** The same of all APIs. */
export function everyApi(bundled: BundledById): Readonly<Record<string, BundledById>> {
  return { unstable: bundled, v4: bundled, subscribed: bundled, room_list: bundled, room: bundled };
}

export function bundledIn(events: readonly Json[]): BundledById {
  return Object.fromEntries(events.flatMap((event) => (relationsOf(event) ? [[event["event_id"], shortOf(event)]] : [])));
}

function relationsOf(event: Json): Json | undefined {
  return (event["unsigned"] as Json | undefined)?.["m.relations"] as Json | undefined;
}

function shortOf(event: Json): Bundled {
  const { "m.replace": edit, "m.thread": thread, "m.reference": references, ...rest } = relationsOf(event) as Record<string, any>; // oxlint-disable-line typescript/no-explicit-any
  return {
    ...rest,
    ...(edit && { "m.replace": textIn(edit as MatrixEvent) }),
    ...(thread && {
      "m.thread": [textIn(thread.latest_event as MatrixEvent), thread.count, thread.current_user_participated],
      ...(relationsOf(thread.latest_event as Json) && { "of latest": shortOf(thread.latest_event as Json) }),
    }),
    ...(references && { "m.reference": (references.chunk as { event_id: string }[]).map((one) => one.event_id) }),
  };
}

function textIn(event: MatrixEvent): string {
  return `${event.event_id} ${String(event.content["body"])}`;
}

/** A message that relates to another event. */
export function relating(relation: string, sender: string, to: string, text: string, over: Json = {}): MatrixEvent {
  const content = { msgtype: "m.text", body: text, "m.relates_to": { rel_type: relation, event_id: to } };
  return ev.event("m.room.message", sender, content, over);
}
