/** Rooms of the invite and knock sections: only their stripped state is known. */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { Hero, RoomFacts } from "../../store/room-facts.ts";
import type { UserId } from "../../wire/ids.ts";
import { isUserId } from "../../wire/matrix-id.ts";
import { computeRoomName } from "../../wire/room-name.ts";
import { roomVersionOf } from "../../wire/room-versions.ts";
import type { StrippedEvent, StrippedRoom } from "../../wire/v2-response.ts";
import type { Draft } from "./draft.ts";
import { text } from "./facts.ts";
import type { PlanContext } from "./plan-context.ts";
import { planTyping } from "./plan-room-parts.ts";

export function planInvite(draft: Draft, context: PlanContext, stored: KnownRoom, section: StrippedRoom, kind: "invite" | "knock"): void {
  const room = stored.room_id;
  const { pending } = stored;
  const own = section.events.findLast((event) => event.type === "m.room.member" && event.state_key === context.me);
  if (pending?.kind !== kind || pending.body !== section.body) {
    draft.invites.push({ room_id: room, kind, body: section.body, inviter: own?.sender ?? null, ord: draft.next("invites", room) });
  }
  planTyping(draft, stored, []);
  draft.putFacts(stored, kind, strippedFacts(context, stored, section.events, own));
  // The time of an invite is that of its arrival, because it has no event with a time of its own.
  if (stored.membership !== kind) {
    const { last_ord, members, unsure_ord, pending_gap } = stored;
    draft.putRoom(stored, { room_id: room, last_ord, last_ts: context.now, members, unsure_ord, pending_gap });
  }
}

function strippedFacts(context: PlanContext, stored: KnownRoom, events: readonly StrippedEvent[], own: StrippedEvent | undefined): RoomFacts {
  const contents = new Map(events.filter((event) => event.state_key === "").map((event) => [event.type, event.content]));
  const others = events.filter((event) => event.type === "m.room.member" && event.state_key !== context.me);
  const present = others.filter((event) => ["join", "invite"].includes(String(event.content["membership"])));
  const heroes = heroesOf(present, own, context.me);
  const name = text(contents.get("m.room.name")?.["name"]);
  const alias = text(contents.get("m.room.canonical_alias")?.["alias"]);
  const ownAvatar = text(contents.get("m.room.avatar")?.["url"]);
  const create = contents.get("m.room.create");
  const roomType = text(create?.["type"]);
  const roomVersion = create === undefined ? undefined : roomVersionOf(create);
  const isDm = own?.content["is_direct"] === true || (context.direct?.rooms.has(stored.room_id) ?? false);
  // The inviter is in the room, whether or not the stripped state says so.
  const joined = Math.max(1, others.filter((event) => event.content["membership"] === "join").length);
  const invited = others.filter((event) => event.content["membership"] === "invite").length + (own?.content["membership"] === "invite" ? 1 : 0);
  const shown = computeRoomName({ name, alias, heroes, joined, invited, me: context.me });
  const avatar = ownAvatar ?? (isDm ? heroes[0]?.avatar_url : undefined);
  return {
    ...(shown === undefined ? {} : { name: shown }),
    ...(avatar === undefined ? {} : { avatar }),
    ...(heroes.length === 0 ? {} : { heroes }),
    is_dm: isDm,
    is_encrypted: contents.has("m.room.encryption"),
    ...(roomType === undefined ? {} : { room_type: roomType }),
    ...(roomVersion === undefined ? {} : { room_version: roomVersion }),
    ...(create === undefined ? { bare: true } : {}),
    joined_count: joined,
    invited_count: invited,
    notification_count: 0,
    highlight_count: 0,
    tags: stored.facts === null ? {} : stored.facts.tags,
    sources: {
      ...(name === undefined ? {} : { name }),
      ...(alias === undefined ? {} : { alias }),
      ...(ownAvatar === undefined ? {} : { avatar: ownAvatar }),
    },
  };
}

/** The inviter first, who is often the only member in the stripped state. */
function heroesOf(present: readonly StrippedEvent[], own: StrippedEvent | undefined, me: UserId): Hero[] {
  const heroes = present.flatMap((event): Hero[] => {
    const user_id = event.state_key;
    if (!isUserId(user_id)) return [];
    const displayname = text(event.content["displayname"]);
    const avatar = text(event.content["avatar_url"]);
    return [{ user_id, ...(displayname === undefined ? {} : { displayname }), ...(avatar === undefined ? {} : { avatar_url: avatar }) }];
  });
  if (own === undefined || own.sender === me || !isUserId(own.sender)) return heroes;
  const inviter = heroes.find((hero) => hero.user_id === own.sender) ?? { user_id: own.sender };
  return [inviter, ...heroes.filter((hero) => hero.user_id !== own.sender)];
}
