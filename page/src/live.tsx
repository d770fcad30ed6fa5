import type { Account } from "./account.ts";
import type { Follower } from "./followed.ts";
import * as model from "./model.ts";
import { RoomList } from "./room-list.tsx";
import { RoomView } from "./room-view.tsx";
import { timeOf } from "./words.ts";

type Props = { readonly account: Account; readonly follower: Follower | null };

/** Rooms and invites on one side, the open room on the other; on a narrow screen one of the two. */
export function Live({ account, follower }: Props) {
  const open = (roomId: string | null): void => {
    model.openId.value = roomId;
    follower?.open(roomId);
  };
  const room = model.openRoom.value;
  return (
    <main class={`live ${model.openId.value === null ? "" : "open"}`}>
      <section class="rooms" aria-label="Rooms">
        <Stall />
        <Invites account={account} />
        <RoomList open={open} more={() => void follower?.moreRooms()} />
      </section>
      {room && follower ? (
        <RoomView key={room.id} room={room} account={account} follower={follower} close={() => open(null)} />
      ) : (
        <section class="nothing">{model.openId.value === null ? "No room is open" : "…"}</section>
      )}
    </main>
  );
}

/** What is shown is not up to date: the server gets nothing new from the homeserver for this account. */
function Stall() {
  const stall = model.stall.value;
  if (!stall) return null;
  return (
    <p class="empty" role="status">
      No updates since {timeOf(stall.since_ts)}, because polling the homeserver fails ({stall.reason})
    </p>
  );
}

function Invites({ account }: { readonly account: Account }) {
  const act = (work: Promise<void>): void => void work.catch((error: unknown) => (model.trouble.value = String(error)));
  if (model.invites.value.size === 0) return null;
  return (
    <ul class="invites" aria-label="Invites">
      {[...model.invites.value.values()].map((invite) => (
        <li key={invite.id}>
          <span>
            <strong>{invite.name}</strong> <small>from {invite.from}</small>
          </span>
          <button type="button" onClick={() => act(account.join(invite.id))}>
            Accept
          </button>
          <button type="button" onClick={() => act(account.leave(invite.id))}>
            Decline
          </button>
        </li>
      ))}
    </ul>
  );
}
