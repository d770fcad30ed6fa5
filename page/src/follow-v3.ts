/** The account through sync v3. */

import { type MatrixEvent, MatrixError, type V3Answer, V3Session } from "../../packages/client/src/index.ts";
import type { Account } from "./account.ts";
import { recorded } from "./exchanges.ts";
import type { Follower } from "./followed.ts";
import * as model from "./model.ts";

const [ROOMS, MEMBERS, EVENTS] = [50, 50, 30];
type Page = { readonly token: string; readonly next: string };

export async function followV3(account: Account, signal: AbortSignal): Promise<Follower> {
  // What the session remembers is what it asks for, less what the request says.
  const fetch = recorded((body) => ({ ...session.asked, ...Object.fromEntries(Object.keys(body).map((key) => [key, undefined])) }));
  const session = await V3Session.open({ ...account.server, fetch });
  let roomsPage: Page | null = null;
  let membersPage: Page | null = null;
  let loading = false;

  session.ask({ room_list: { p: { limit: ROOMS }, timeline_limit: 1 }, invites: {}, typing: { room_id: "room_list" } });

  const apply = (answer: V3Answer): void => {
    const { room_list, room_members } = answer;
    if (room_list?.p.next !== undefined) roomsPage = { token: room_list.p.next, next: answer.next };
    if (room_members?.p?.next !== undefined) membersPage = { token: room_members.p.next, next: answer.next };
    takeRooms(account, answer);
    if (room_members?.events) takeMembers(room_members.events, membersPage !== null);
  };
  const page = async <Streams>(of: Page, streams: Streams & object): Promise<V3Answer | null> => {
    if (loading) return null;
    loading = true;
    try {
      return await session.page(streams, of.next, signal);
    } catch (error) {
      if (signal.aborted) return null;
      if (!(error instanceof MatrixError)) throw error;
      model.trouble.value = error.message;
      return null;
    } finally {
      loading = false;
    }
  };

  return {
    answers: session.answers({ signal, onRetry: ({ error }) => (model.trouble.value = String(error)) }),
    apply: (answer) => apply(answer as V3Answer),
    open(roomId) {
      membersPage = null;
      model.listed.value = null;
      if (roomId === null) return session.ask({ room: null, room_members: null, receipts: null });
      session.ask({
        room: { room_id: roomId, timeline_limit: EVENTS },
        room_members: { room_id: roomId, membership: ["join"], p: { limit: MEMBERS, sort: "by_name" } },
        receipts: { room_id: roomId },
      });
    },
    async moreRooms() {
      const from = roomsPage;
      const answer = from && (await page(from, { room_list: { p: { since: from.token } } }));
      if (!answer) return;
      roomsPage = answer.room_list?.p.next === undefined ? null : { token: answer.room_list.p.next, next: answer.next };
      takeRooms(account, answer);
    },
    async moreMembers() {
      const from = membersPage;
      const answer = from && (await page(from, { room_members: { p: { since: from.token } } }));
      if (!answer) return;
      membersPage = answer.room_members?.p?.next === undefined ? null : { token: answer.room_members.p.next, next: answer.next };
      takeMembers(answer.room_members?.events ?? [], membersPage !== null);
    },
  };
}

function takeRooms(account: Account, { room_list, room, typing, receipts, invites }: V3Answer): void {
  if (room_list) model.total.value = room_list.count;
  model.changeRooms(({ get, has, set, remove }) => {
    for (const entry of room_list?.rooms ?? []) {
      const now = get(entry.room_id);
      const changed = {
        ...now,
        ...(entry.name !== undefined && { name: entry.name }),
        ...(entry.heroes && { heroes: entry.heroes.map((hero) => hero.displayname ?? hero.user_id) }),
        ...(entry.is_encrypted && { isEncrypted: true }),
        recency: entry.recency,
        notifications: entry.notification_count ?? now.notifications,
        highlights: entry.highlight_count ?? now.highlights,
        joined: entry.joined_count ?? now.joined,
      };
      // Of the open room the room stream tells the timeline.
      set(
        entry.room_id === model.openId.value
          ? changed
          : model.withEvents(changed, entry.timeline ?? [], entry.limited === true, entry.prev_batch ?? null),
      );
    }
    for (const [roomId, told] of Object.entries(room?.rooms ?? {})) {
      const { timeline, state, members } = told;
      const before = timeline?.limited ? timeline.prev_batch : null;
      const now = model.withState(get(roomId), [...(state?.events ?? []), ...(members?.events ?? [])]);
      set(timeline ? model.withEvents(now, timeline.events, told.initial === true || timeline.limited, before) : now);
    }
    for (const event of typing?.events ?? [])
      if (event.room_id !== undefined && has(event.room_id)) set({ ...get(event.room_id), typing: event.content.user_ids });
    for (const [roomId, { content }] of Object.entries(receipts?.rooms ?? {})) set(model.withReceipts(get(roomId), content));
    for (const roomId of room_list?.removed ?? []) remove(roomId);
  });
  if (!invites) return;
  model.changeInvites((pending) => {
    for (const [roomId, { invite_state }] of Object.entries(invites.rooms ?? {})) {
      if (invite_state) pending.set(roomId, model.inviteOf(roomId, account.userId, invite_state.events));
    }
    for (const roomId of invites.gone ?? []) pending.delete(roomId);
  });
}

function takeMembers(events: readonly MatrixEvent[], hasMore: boolean): void {
  const members = new Map((model.listed.value?.members ?? []).map((event) => [event.state_key, event]));
  for (const event of events) {
    if (event.content["membership"] === "join") members.set(event.state_key, event);
    else members.delete(event.state_key);
  }
  model.listed.value = { members: [...members.values()], hasMore };
}
