/** Everything that jobs read from the store, in few pipelined queries. */

import { filterInSlices, Slices } from "../base/slices.ts";
import { withBundles } from "../store/bundles.ts";
import { factsAt } from "../store/facts.ts";
import { readStripped } from "../store/ephemeral.ts";
import { allMembersAt, membersAt, membersChanged, type MemberRow, someMembersAt } from "../store/members.ts";
import type { RoomFacts } from "../store/room-facts.ts";
import { stateAt, stateChanged, stateEnded, type StateRow, type StateSelector } from "../store/state.ts";
import { withTransactions } from "../store/sent-events.ts";
import { readTimelines, type Timeline } from "../store/timeline.ts";
import { historyOf, fallsShort } from "../sync/history.ts";
import { sentSince } from "../sync/message-expiry.ts";
import { needKey, type Need } from "../sync/fetch-need.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import { requestBounds } from "../wire/request-bounds.ts";
import { isStored, type SlidingContext, type StoredContext } from "./context.ts";
import type { RoomRows, ReadTimeline } from "./reading.ts";
import { readRecent, recentMembers } from "./recent-reading.ts";
import type { RoomJob } from "./room-jobs.ts";

/** null: memory is not enough. */
export async function readRooms(context: SlidingContext, jobs: readonly RoomJob[], stubs: boolean): Promise<RoomRows | null> {
  return readRecent(context, jobs) ?? (isStored(context) ? readStored(context, jobs, stubs) : null);
}

async function readStored(context: StoredContext, jobs: readonly RoomJob[], stubs: boolean): Promise<RoomRows> {
  const { tx, account, to } = context;
  const full = jobs.filter((job) => job.kind !== "stripped");
  const deltas = full.filter((job) => job.kind === "delta" && job.changed);
  const spans = deltas.map((job) => ({ roomId: job.roomId, from: job.sent, to }));
  const [stripped, timelines, factsBefore, state, changed, ended, members, changedMembers] = await Promise.all([
    readStripped(
      tx,
      account,
      jobs.filter((job) => job.kind === "stripped").map((job) => job.roomId),
    ),
    timelinesOf(context, full),
    factsBeforeOf(context, deltas),
    askedState(
      context,
      full.filter((job) => job.kind === "initial" || job.grown),
    ),
    stateChanged(tx, account, spans, "all"),
    stubs ? stateEnded(tx, account, spans) : [],
    namedMembers(context, full),
    membersChangedOf(context, deltas),
  ]);
  const { timelines: extended, needs } = await withOlder(context, full, timelines);
  return {
    stripped,
    timelines: await withTransactions(tx, context, await withBundles(tx, context, extended, { outdated: context.askBundles })),
    factsBefore,
    state: byRoom(state),
    changed: byRoom(changed),
    ended: byRoom(ended),
    members: byRoom(members),
    membersChanged: byRoom(changedMembers),
    needs,
  };
}

type Wanted = readonly { readonly roomId: RoomId; readonly userId: string }[];

/** Current member events of some users; null: memory is not enough. */
export async function readMembers(context: SlidingContext, wanted: Wanted): Promise<MemberRow[] | null> {
  return recentMembers(context, wanted) ?? (isStored(context) ? storedMembers(context, wanted) : null);
}

function storedMembers({ tx, account, to }: StoredContext, wanted: Wanted): Promise<MemberRow[]> {
  return membersAt(
    tx,
    account,
    wanted.map((one) => ({ ...one, at: to })),
  );
}

async function timelinesOf(context: StoredContext, jobs: readonly RoomJob[]): Promise<Map<RoomId, Timeline>> {
  const asked = jobs.filter((job) => job.choice.config.timelineLimit > 0 && (job.changed || job.expanded));
  const groups = [...Map.groupBy(asked, (job) => job.choice.config.timelineLimit)].map(([limit, group]) =>
    readTimelines(
      context.tx,
      context.account,
      group.map((job) => ({ roomId: job.roomId, after: job.expanded ? 0 : job.sent, sentSince: shownSince(context, job) })),
      { to: context.to, limit, ignored: context.ignored },
    ),
  );
  const timelines = new Map((await Promise.all(groups)).flatMap((group) => [...group]));
  for (const { roomId, choice } of asked) {
    const timeline = timelines.get(roomId);
    if (timeline && choice.room.purged) timelines.set(roomId, { ...timeline, limited: true });
  }
  return timelines;
}

/** See TimelineWindow.sentSince. */
function shownSince(context: SlidingContext, { roomId, choice }: RoomJob): number | null {
  return sentSince(context, roomId, choice.room.facts);
}

/**
 * Subscribed rooms whose stored timeline falls short get fetched history in front of it, and what is missing becomes a need. Lists have too many
 * rooms for that.
 */
async function withOlder(
  context: StoredContext,
  jobs: readonly RoomJob[],
  timelines: ReadonlyMap<RoomId, Timeline>,
): Promise<{ timelines: Map<RoomId, ReadTimeline>; needs: Need[] }> {
  const extended = new Map<RoomId, ReadTimeline>(timelines);
  const needs: Need[] = [];
  let extendedRooms = 0;
  for (const job of jobs) {
    const { roomId, kind, expanded, choice } = job;
    const timeline = timelines.get(roomId);
    if (!choice.subscribed || choice.room.membership !== "join" || !(kind === "initial" || expanded)) continue;
    const limit = choice.config.timelineLimit;
    if (!timeline || !fallsShort(timeline, limit)) continue;
    extendedRooms += 1;
    if (extendedRooms > requestBounds().olderRooms) break;
    // oxlint-disable-next-line no-await-in-loop -- one or two rooms are open at a time
    const { history, need } = await historyOf(context.tx, context.account, roomId, timeline, {
      limit,
      ignored: context.ignored,
      sentSince: shownSince(context, job),
    });
    if (need && !context.tried.has(needKey(need))) needs.push(need);
    extended.set(roomId, history);
  }
  return { timelines: extended, needs };
}

async function factsBeforeOf(context: StoredContext, deltas: readonly RoomJob[]): Promise<Map<RoomId, RoomFacts | undefined>> {
  const moved = deltas.filter((job) => job.choice.room.factsOrd > job.sent);
  const groups = [...Map.groupBy(moved, (job) => job.sent)].map(async ([sent, group]) => {
    const ids = group.map((job) => job.roomId);
    const found = await factsAt(context.tx, context.account, ids, sent as Position);
    return ids.map((roomId) => [roomId, found.get(roomId)?.facts] as const);
  });
  return new Map((await Promise.all(groups)).flat());
}

/** The most configs that are queried separately. If there are more, all rooms are queried with the union of them. */
const MAX_SELECTORS = 8;

/** Rooms with the same config are read together. */
async function askedState(context: StoredContext, jobs: readonly RoomJob[]): Promise<StateRow[]> {
  const { tx, account, to } = context;
  const groups = [...Map.groupBy(jobs, (job) => job.matcher)];
  const at = (some: readonly RoomJob[]) => some.map((job) => ({ roomId: job.roomId, at: to }));
  if (groups.length > MAX_SELECTORS) {
    const rows = await stateAt(tx, account, at(jobs), unionOf(groups.map(([matcher]) => matcher.selector)));
    const matchers = new Map(jobs.map((job) => [job.roomId, job.matcher]));
    return filterInSlices(rows, (row) => matchers.get(row.room_id)?.matches(row.type, row.state_key ?? "") === true, new Slices());
  }
  const read = groups.map(async ([matcher, group]) => {
    const rows = await stateAt(tx, account, at(group), matcher.selector);
    return filterInSlices(rows, (row) => matcher.matches(row.type, row.state_key ?? ""), new Slices());
  });
  return (await Promise.all(read)).flat();
}

function unionOf(selectors: readonly StateSelector[]): StateSelector {
  const pairs = new Map<string, readonly [string, string]>();
  for (const selector of selectors) {
    if (selector === "all") return "all";
    for (const pair of selector) pairs.set(JSON.stringify(pair), pair);
  }
  return [...pairs.values()];
}

async function namedMembers(context: StoredContext, jobs: readonly RoomJob[]): Promise<MemberRow[]> {
  const asked = jobs.filter((job) => job.kind === "initial" || job.grown);
  const all = asked.filter((job) => job.matcher.allMembers).map((job) => ({ roomId: job.roomId, at: context.to }));
  // Named members also of rooms that have not changed otherwise: a member learned late is sent then, although it has not changed.
  const naming = jobs.filter((job) => !job.matcher.allMembers && job.matcher.memberKeys.length > 0);
  const left = jobs.filter((job) => job.choice.room.membership !== "join").map((job) => ({ roomId: job.roomId, userId: context.userId }));
  const isMany = naming.reduce((sum, job) => sum + job.matcher.memberKeys.length, 0) > MANY_MEMBERS;
  const named = isMany ? [] : naming.flatMap((job) => job.matcher.memberKeys.map((userId) => ({ roomId: job.roomId, userId })));
  const [every, some, ...many] = await Promise.all([
    allMembersAt(context.tx, context.account, all),
    recentMembers(context, [...named, ...left]) ?? storedMembers(context, [...named, ...left]),
    ...(isMany ? membersByConfig(context, naming) : []),
  ]);
  return [...every, ...some, ...many.flat()];
}

/** With more than this many pairs of a room and a member, the database makes the pairs. */
const MANY_MEMBERS = 5000;

function membersByConfig({ tx, account, to }: StoredContext, jobs: readonly RoomJob[]): Promise<MemberRow[]>[] {
  return [...Map.groupBy(jobs, (job) => job.matcher)].map(([matcher, group]) =>
    someMembersAt(
      tx,
      account,
      group.map((job) => ({ roomId: job.roomId, at: to })),
      matcher.memberKeys,
    ),
  );
}

async function membersChangedOf(context: StoredContext, deltas: readonly RoomJob[]): Promise<MemberRow[]> {
  const groups = [...Map.groupBy(deltas, (job) => job.sent)].map(([sent, group]) =>
    membersChanged(
      context.tx,
      context.account,
      group.map((job) => job.roomId),
      sent as Position,
      context.to,
    ),
  );
  return (await Promise.all(groups)).flat();
}

function byRoom<Row extends { readonly room_id: RoomId }>(rows: readonly Row[]): Map<RoomId, Row[]> {
  return Map.groupBy(rows, (row) => row.room_id);
}
