/** The account through simplified sliding sync, in either dialect. */

import {
  Connection,
  type MatrixEvent,
  type SlidingAnswer,
  type SlidingRequest,
  type V4Answer,
  type V4Request,
} from "../../packages/client/src/index.ts";
import type { Account } from "./account.ts";
import { recorded } from "./exchanges.ts";
import type { Follower } from "./followed.ts";
import * as model from "./model.ts";

const [STEP, MEMBERS, EVENTS] = [50, 50, 30];
const OPTIONS = { conn_id: "syncv3-page" };
const LIST_STATE = [
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.member", "$ME"],
  ["m.room.member", "$LAZY"],
] as [string, string][];
const V4_STATE = { include: [{ type: "m.room.name" }, { type: "m.room.encryption" }], lazy_members: true };

type Asked = { rooms: number; open: string | null };

function simplified({ rooms, open }: Asked): SlidingRequest {
  return {
    ...OPTIONS,
    lists: { all: { ranges: [[0, rooms - 1]], timeline_limit: 1, required_state: LIST_STATE } },
    ...(open !== null && { room_subscriptions: { [open]: { timeline_limit: EVENTS, required_state: LIST_STATE } } }),
    extensions: { typing: { enabled: true }, receipts: { enabled: true } },
  };
}

function v4({ rooms, open }: Asked, userId: string): V4Request {
  const required_state = { ...V4_STATE, include: [...V4_STATE.include, { type: "m.room.member", state_key: userId }] };
  return {
    ...OPTIONS,
    lists: { all: { range: [0, rooms - 1], timeline_limit: 1, required_state } },
    ...(open !== null && { room_subscriptions: { [open]: { timeline_limit: EVENTS, required_state } } }),
    extensions: { typing: { enabled: true }, receipts: { enabled: true } },
  };
}

export async function followSliding(dialect: "simplified" | "v4", account: Account, signal: AbortSignal): Promise<Follower> {
  const asked: Asked = { rooms: STEP, open: null };
  const options = { ...account.server, fetch: recorded() };
  const onRetry = ({ error }: { readonly error: unknown }): void => void (model.trouble.value = String(error));
  const connection =
    dialect === "v4" ? await Connection.v4(options, v4(asked, account.userId)) : await Connection.simplified(options, simplified(asked));
  const ask = (): void => {
    if (dialect === "v4") (connection as Connection<V4Request, V4Answer>).ask(v4(asked, account.userId));
    else (connection as Connection<SlidingRequest, SlidingAnswer>).ask(simplified(asked));
  };
  let everyone: readonly MatrixEvent[] = [];
  const showMembers = (count: number): void => {
    model.listed.value = { members: everyone.slice(0, count), hasMore: everyone.length > count };
  };
  return {
    answers: connection.answers({ signal, onRetry }),
    apply: (answer) => apply(answer as SlidingAnswer | V4Answer, account.userId),
    open(roomId) {
      asked.open = roomId;
      model.listed.value = null;
      ask();
      if (roomId === null) return;
      // Members are the homeserver's to list.
      void account.members(roomId).then((events) => {
        if (asked.open !== roomId) return;
        everyone = events.toSorted((a, b) => model.memberOf(a).name.localeCompare(model.memberOf(b).name));
        showMembers(MEMBERS);
      });
    },
    moreRooms() {
      if (model.rooms.value.size + model.invites.value.size < asked.rooms) return Promise.resolve();
      asked.rooms += STEP;
      ask();
      return Promise.resolve();
    },
    moreMembers() {
      showMembers((model.listed.value?.members.length ?? 0) + MEMBERS);
      return Promise.resolve();
    },
  };
}

function apply({ lists, rooms, extensions }: SlidingAnswer | V4Answer, me: string): void {
  const left = Object.values(rooms).filter((room) => hasLeft(room, me)).length;
  // A room that was left is in the list once more, to say so.
  if (lists?.["all"]) model.total.value = lists["all"].count - left;
  const gone = new Set<string>();
  model.changeInvites((pending) => {
    for (const [roomId, room] of Object.entries(rooms)) {
      const stripped = "invite_state" in room ? room.invite_state : "stripped_state" in room ? room.stripped_state : undefined;
      if (stripped && !hasLeft(room, me)) {
        pending.set(roomId, model.inviteOf(roomId, me, stripped));
        gone.add(roomId);
      } else pending.delete(roomId);
    }
  });
  model.changeRooms(({ get, has, set, remove }) => {
    for (const [roomId, room] of Object.entries(rooms)) {
      if (gone.has(roomId)) continue;
      if (hasLeft(room, me)) {
        remove(roomId);
        continue;
      }
      set(changed(get(roomId), room));
    }
    for (const [roomId, told] of Object.entries(extensions.typing?.rooms ?? {})) {
      if (has(roomId)) set({ ...get(roomId), typing: "content" in told ? told.content.user_ids : told.user_ids });
    }
    for (const [roomId, told] of Object.entries(extensions.receipts?.rooms ?? {})) {
      const content = "type" in told && told.type === "m.receipt" ? told.content : told;
      if (has(roomId)) set(model.withReceipts(get(roomId), content as Parameters<typeof model.withReceipts>[1]));
    }
  });
}

type Told = SlidingAnswer["rooms"][string] | V4Answer["rooms"][string];

function hasLeft(room: Told, me: string): boolean {
  return ["leave", "ban"].includes(membershipOf(room, me) ?? "");
}

/** As far as the answer says it. */
function membershipOf(room: Told, me: string): string | undefined {
  if ("membership" in room) return room.membership;
  const own = [...stateOf(room), ...(room.timeline ?? [])].findLast((event) => event.type === "m.room.member" && event.state_key === me);
  const membership = own?.content["membership"];
  return typeof membership === "string" ? membership : undefined;
}

/** Without what stands for state that is gone. */
function stateOf(room: Told) {
  return (room.required_state ?? []).flatMap((event) => ("event_id" in event ? [event] : []));
}

function changed(now: model.Room, room: Told): model.Room {
  const isAnew = room.initial === true || room.limited === true || "expanded_timeline" in room || "unstable_expanded_timeline" in room;
  const known = model.withState(
    {
      ...now,
      ...(room.name !== undefined && { name: room.name }),
      ...(room.heroes && { heroes: room.heroes.map((hero) => hero.displayname ?? hero.user_id) }),
      recency: room.bump_stamp ?? now.recency,
      joined: room.joined_count ?? now.joined,
      ...("notification_count" in room && { notifications: room.notification_count ?? 0 }),
      ...("highlight_count" in room && { highlights: room.highlight_count ?? 0 }),
    },
    stateOf(room),
  );
  return room.timeline ? model.withEvents(known, room.timeline, isAnew, room.prev_batch ?? null) : known;
}
