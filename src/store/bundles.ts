/**
 * What is bundled with the events of a timeline (T7): edits, threads and references, made from the stored events that relate to them, as they are
 * now. What was redacted is in none of them, nor are messages of users whom the reader ignores. Timelines that are not limited have no bundles,
 * as in v2: the client has all events that relate to theirs.
 *
 * Nothing is missing between an event that is sent and the present, so the store has all that relates to it. If the homeserver bundled something
 * else (events that came in another order, relation types that are unknown here), that part is sent as it came, until something happens that may
 * have changed it. Then it is left out, and the homeserver has to be asked again.
 */

import { type BundledPart, bundledParts, eventsNamedIn, isAbout, type Placed } from "../wire/bundled.ts";
import type { AccountNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import { byKey, type Db } from "./db.ts";
import { bodyOf, type Bundle, type EventRow } from "./event-row.ts";

export type RoomEvent = { readonly roomId: RoomId; readonly eventId: EventId };

/** Whom the timelines are for, and up to which position. */
export type BundleReader = {
  readonly account: AccountNo;
  readonly userId: UserId;
  readonly ignored: readonly UserId[];
  readonly to: number;
};

type BundledTimeline = { readonly events: readonly EventRow[]; readonly limited: boolean };

export type BundleOptions = {
  /** The timelines may lack events that relate to theirs, since their types are not asked for. Default: they lack none. */
  readonly filtered?: boolean;
  /** Called with the events whose bundle is not known any more in full. */
  readonly outdated: (events: readonly RoomEvent[]) => void;
};

/** The timelines with bundles. */
export async function withBundles<Timeline extends BundledTimeline>(
  db: Db,
  reader: BundleReader,
  timelines: ReadonlyMap<RoomId, Timeline>,
  { filtered = false, outdated }: BundleOptions,
): Promise<Map<RoomId, Timeline>> {
  const limited = [...timelines].filter(([, timeline]) => timeline.limited);
  const roots = limited.flatMap(([roomId, { events }]) => rootsIn(roomId, events, filtered));
  if (roots.length === 0) return new Map(timelines);
  const bundles = await readBundles(db, reader, roots);
  outdated(bundles.outdated);
  const bundled = (row: EventRow) => {
    const bundle = bundles.byId.get(row.event_id);
    return bundle && row.state_key === null ? { ...row, bundle } : row;
  };
  return new Map(
    [...timelines].map(([roomId, timeline]) => [roomId, timeline.limited ? { ...timeline, events: timeline.events.map(bundled) } : timeline]),
  );
}

type Root = RoomEvent & { readonly relations: string | null; readonly asOf: number };

/** The events that something may be bundled with. State events are none. */
function rootsIn(roomId: RoomId, events: readonly EventRow[], filtered: boolean): Root[] {
  const named = new Set(events.map((row) => row.relates_to));
  return events
    .filter((row) => row.state_key === null && (filtered || row.relations || named.has(row.event_id)))
    .map(({ event_id: eventId, relations = null, relations_ord: asOf }) => ({ roomId, eventId, relations, asOf: asOf ?? 0 }));
}

type Related = Placed & {
  readonly rel_type: string;
  readonly sender: UserId;
  readonly type: string;
  readonly ts: number;
};
/** An event and all that relates to it, oldest first. `rel_type`: how it relates to another one itself. */
type Relatives = Pick<Related, "sender" | "type" | "pruned"> & { readonly rel_type: string | null; readonly related: readonly Related[] };

/** What is bundled with an event, by id. */
type Picked = {
  readonly replace: EventId | null;
  readonly thread: { readonly latest: EventId; readonly count: number; readonly participated: boolean } | null;
  readonly references: readonly EventId[];
};

const NOTHING: Picked = { replace: null, thread: null, references: [] };

async function readBundles(db: Db, reader: BundleReader, roots: readonly Root[]): Promise<{ byId: Map<EventId, Bundle>; outdated: RoomEvent[] }> {
  const relatives = await readRelatives(db, reader, roots);
  const picked = new Map([...relatives].map(([id, of]) => [id, pick(of, reader)]));
  const given = roots.flatMap((root) => unexplained(root, relatives.get(root.eventId)));
  const doubted = await doubtedOf(db, reader, given);
  const latest = roots.flatMap(({ roomId, eventId: id }) => {
    const thread = picked.get(id)?.thread;
    return thread ? [{ roomId, eventId: thread.latest }] : [];
  });
  const inThreads = await readRelatives(db, reader, latest);
  for (const [id, of] of inThreads) picked.set(id, pick(of, reader));
  const ids = [...picked.values()].flatMap(({ replace, thread }) => [replace, thread?.latest ?? null]).filter((id) => id !== null);
  const rows = await readRows(db, reader, ids);
  const givenOf = new Map(given.map((root) => [root.eventId, root.parts]));
  const bundleOf = (id: EventId, parts: readonly BundledPart[]): Bundle | undefined => {
    const { replace, thread, references } = picked.get(id) ?? NOTHING;
    const types = new Set(parts.map(({ type }) => type));
    const edit = replace && !types.has("m.replace") ? rows.get(replace) : undefined;
    const reply = thread && !types.has("m.thread") ? rows.get(thread.latest) : undefined;
    const bundle: Bundle = {
      replace: edit ?? null,
      thread: thread && reply ? { ...thread, latest: withBundle(reply, bundleOf(reply.event_id, givenOf.get(reply.event_id) ?? [])) } : null,
      references: types.has("m.reference") ? [] : references,
      given: doubted.has(id) ? [] : parts.map(({ type, text }) => [type, text] as const),
    };
    return bundle.replace || bundle.thread || bundle.references.length + bundle.given.length > 0 ? bundle : undefined;
  };
  const byId = new Map<EventId, Bundle>();
  for (const { eventId: id } of roots) {
    const bundle = bundleOf(id, givenOf.get(id) ?? []);
    if (bundle) byId.set(id, bundle);
  }
  return { byId, outdated: given.filter(({ eventId: id }) => doubted.has(id)) };
}

function withBundle(row: EventRow, bundle: Bundle | undefined): EventRow {
  return bundle ? { ...row, bundle } : row;
}

/** As homeservers choose: the newest edit by the event's own sender, and threads only on events that relate to none. */
function pick({ sender, type, pruned, rel_type, related }: Relatives, { userId, ignored }: BundleReader): Picked {
  const ownRelation = pruned ? null : rel_type;
  if (ownRelation === "m.replace") return NOTHING;
  const shown = related.filter((event) => !event.pruned && !ignored.includes(event.sender));
  const by = (relation: string) => shown.filter((event) => event.rel_type === relation);
  const edits = pruned ? [] : by("m.replace").filter((edit) => edit.sender === sender && edit.type === type);
  const replies = ownRelation === null ? by("m.thread") : [];
  const latest = replies.at(-1);
  const participated = sender === userId || replies.some((reply) => reply.sender === userId);
  return {
    replace: edits.reduce<Related | null>((newest, edit) => (newest && isNewer(newest, edit) ? newest : edit), null)?.event_id ?? null,
    thread: latest ? { latest: latest.event_id, count: replies.length, participated } : null,
    references: by("m.reference").map((event) => event.event_id),
  };
}

function isNewer(a: Related, b: Related): boolean {
  return a.ts === b.ts ? a.event_id > b.event_id : a.ts > b.ts;
}

type Given = Root & { readonly parts: readonly BundledPart[] };

/** What the homeserver bundled with an event and what is stored does not explain. */
function unexplained(root: Root, relatives: Relatives | undefined): Given[] {
  if (!root.relations) return [];
  const known = Map.groupBy(relatives?.related ?? [], (event) => event.rel_type);
  const parts = bundledParts(root.relations).filter((part) => {
    const isGone = part.type === "m.replace" && relatives?.pruned === true;
    return !isGone && !isAbout(part, known.get(part.type) ?? [], root.asOf);
  });
  return parts.length > 0 ? [{ ...root, parts }] : [];
}

/**
 * Those that may be wrong by now: since then something was redacted in the room, something new relates to the event or to one that is bundled, or whom the user ignores has
 * changed; or what they name is redacted.
 */
async function doubtedOf(db: Db, { account, to }: BundleReader, given: readonly Given[]): Promise<ReadonlySet<EventId>> {
  if (given.length === 0) return new Set();
  const asked = given.map(({ roomId, eventId, asOf, parts }) => {
    return { room_id: roomId, event_id: eventId, ord: asOf, named: parts.flatMap(eventsNamedIn) };
  });
  const rows = await db<{ event_id: EventId }[]>`
    select g.event_id from json_to_recordset(${JSON.stringify(asked)}::text::json) g (room_id text, event_id text, ord bigint, named json)
    where exists (select from account_data a where a.account = ${account} and a.room_id = '' and a.type = 'm.ignored_user_list' and a.ord > g.ord)
      or exists (
        select from timeline t join events e using (event_id)
        where t.account = ${account} and t.room_id = g.room_id and t.ord > g.ord and t.ord <= ${to}
          and (e.type = 'm.room.redaction' or e.relates_to = g.event_id
            or e.relates_to in (select n.event_id from json_array_elements_text(g.named) n (event_id))))
      or exists (select from json_array_elements_text(g.named) n (event_id) join events e on e.event_id = n.event_id where e.pruned)`;
  return new Set(rows.map((row) => row.event_id));
}

/** The events and what relates to them in the same room, as far as the account has it. */
async function readRelatives(db: Db, { account, to }: BundleReader, events: readonly RoomEvent[]): Promise<Map<EventId, Relatives>> {
  if (events.length === 0) return new Map();
  type Parent = { readonly parent: EventId } & { readonly [K in "sender" | "type" | "pruned" | "rel_type" as `of_${K}`]: Relatives[K] };
  const rows = await db<(Parent & (Related | { readonly event_id: null }))[]>`
    select a.event_id as parent, p.sender as of_sender, p.type as of_type, p.pruned as of_pruned, p.rel_type as of_rel_type, c.*
    from unnest(${events.map((event) => event.roomId)}::text[], ${events.map((event) => event.eventId)}::text[]) as a(room_id, event_id)
    join events p on p.event_id = a.event_id
    left join lateral (
      select c.event_id, c.rel_type, c.sender, c.type, c.ts, c.pruned, x.place from (select * from events c where c.relates_to = a.event_id ${byKey(db)}) c
      cross join lateral (
        select ord as place from timeline t where t.account = ${account} and t.event_id = c.event_id and t.room_id = a.room_id and t.ord <= ${to}
        union all
        select idx from older o where o.account = ${account} and o.event_id = c.event_id and o.room_id = a.room_id
        ${byKey(db)}) x
    ) c on true
    order by c.place`;
  return new Map(
    [...Map.groupBy(rows, (row) => row.parent)].flatMap(([id, group]) =>
      group.slice(0, 1).map(({ of_sender: sender, of_type: type, of_pruned: pruned, of_rel_type: rel_type }) => {
        return [id, { sender, type, pruned, rel_type, related: group.filter((row) => row.event_id !== null) }] as const;
      }),
    ),
  );
}

/** Events of the account, to be bundled. */
async function readRows(db: Db, { account }: BundleReader, ids: readonly EventId[]): Promise<Map<EventId, EventRow>> {
  if (ids.length === 0) return new Map();
  const rows = await db<EventRow[]>`
    select x.*, k.event_id, e.type, e.state_key, e.sender, ${bodyOf(db, account)} as body
    from unnest(${[...ids]}::text[]) as k(event_id) join events e using (event_id)
    cross join lateral (
      select room_id, unsigned, age_ts, txn_id, txn_device from timeline t where t.account = ${account} and t.event_id = k.event_id
      union all
      select room_id, unsigned, age_ts, null, null from older o where o.account = ${account} and o.event_id = k.event_id
      ${byKey(db)}) x`;
  return new Map(rows.map((row) => [row.event_id, row]));
}
