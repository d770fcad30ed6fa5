import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { MatrixEvent } from "../../packages/client/src/index.ts";
import type { Account } from "./account.ts";
import type { Follower } from "./followed.ts";
import * as model from "./model.ts";
import { summaryOf, timeOf } from "./words.ts";

/** The homeserver is told again that somebody types, ms. */
const TYPING_AGAIN_MS = 10_000;
/** px from the end within which the timeline stays at its end. */
const NEAR_END = 80;

type Props = { readonly room: model.Room; readonly account: Account; readonly follower: Follower; readonly close: () => void };

export function RoomView({ room, account, follower, close }: Props) {
  const showsMembers = useSignal(false);
  const latest = room.timeline.at(-1);
  useEffect(() => {
    if (latest && document.visibilityState === "visible") void account.read(room.id, latest.event_id).catch(() => {});
  }, [latest?.event_id]);
  const others = room.typing.filter((userId) => userId !== account.userId);
  return (
    <section class="room" aria-label={model.nameOf(room)}>
      <header>
        <button type="button" class="back" onClick={close} aria-label="Back to the rooms">
          ←
        </button>
        <h2>{model.nameOf(room)}</h2>
        <button type="button" aria-expanded={showsMembers.value} onClick={() => (showsMembers.value = !showsMembers.value)}>
          Members{room.joined === null ? "" : ` (${room.joined})`}
        </button>
      </header>
      <div class="columns">
        <div class="talk">
          <Timeline room={room} account={account} />
          <p class="typing" aria-live="polite">
            {others.length > 0 && `${others.map((userId) => model.userName(room, userId)).join(", ")} typing …`}
          </p>
          <Composer room={room} account={account} />
        </div>
        {showsMembers.value && <Members more={() => void follower.moreMembers()} />}
      </div>
    </section>
  );
}

function Timeline({ room, account }: Pick<Props, "room" | "account">) {
  const frame = useRef<HTMLOListElement>(null);
  const isAtEnd = useRef(true);
  const earlier = useSignal<{ readonly events: readonly MatrixEvent[]; readonly end: string | null } | null>(null);
  useLayoutEffect(() => {
    const element = frame.current;
    if (element && isAtEnd.current) element.scrollTop = element.scrollHeight;
  }, [room.timeline]);
  const before = earlier.value ? earlier.value.end : room.before;
  const load = async (): Promise<void> => {
    if (before === null) return;
    isAtEnd.current = false;
    const more = await account.earlier(room.id, before);
    earlier.value = { events: [...more.events.toReversed(), ...(earlier.value?.events ?? [])], end: more.events.length > 0 ? more.end : null };
  };
  const shown = new Set(room.timeline.map((event) => event.event_id));
  const events = [...(earlier.value?.events ?? []).filter((event) => !shown.has(event.event_id)), ...room.timeline];
  return (
    <ol
      class="timeline"
      ref={frame}
      aria-label="Timeline"
      tabIndex={0}
      onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
        (isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END)
      }
    >
      {before !== null && (
        <li class="earlier">
          <button type="button" onClick={() => void load().catch((error: unknown) => (model.trouble.value = String(error)))}>
            Earlier
          </button>
        </li>
      )}
      {events.map((event) => (
        <Message key={event.event_id} event={event} room={room} me={account.userId} />
      ))}
    </ol>
  );
}

function Message({ event, room, me }: { readonly event: MatrixEvent; readonly room: model.Room; readonly me: string }) {
  const readers = [...room.read].flatMap(([user, eventId]) => (eventId === event.event_id && user !== event.sender ? [user] : []));
  const isTalk = event.type === "m.room.message" || event.type === "m.room.encrypted";
  return (
    <li class={`${isTalk ? "talked" : "happened"} ${event.sender === me ? "mine" : ""}`} data-event={event.event_id}>
      {isTalk && <strong title={event.sender}>{model.userName(room, event.sender)}</strong>} <span class="body">{summaryOf(event)}</span>{" "}
      <time dateTime={new Date(event.origin_server_ts).toISOString()}>{timeOf(event.origin_server_ts)}</time>
      {readers.length > 0 && <small class="readers">read by {readers.map((user) => model.userName(room, user)).join(", ")}</small>}
    </li>
  );
}

function Composer({ room, account }: Pick<Props, "room" | "account">) {
  const text = useSignal("");
  const failure = useSignal<string | null>(null);
  const toldAt = useRef(0);
  const type = (value: string): void => {
    text.value = value;
    const now = Date.now();
    if (value === "" || now - toldAt.current < TYPING_AGAIN_MS) return;
    toldAt.current = now;
    void account.setTyping(room.id, true).catch(() => {});
  };
  const send = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const body = text.value.trim();
    if (body === "") return;
    text.value = "";
    toldAt.current = 0;
    failure.value = null;
    try {
      await account.send(room.id, body);
      await account.setTyping(room.id, false);
    } catch (error) {
      failure.value = String(error);
      text.value = body;
    }
  };
  if (room.isEncrypted) return <p class="composer">This room is encrypted. This page cannot encrypt messages, so you cannot send any here.</p>;
  return (
    <form class="composer" onSubmit={(event) => void send(event)}>
      {failure.value !== null && <p role="alert">{failure.value}</p>}
      <input aria-label="Message" placeholder="Message" autocomplete="off" value={text.value} onInput={(event) => type(event.currentTarget.value)} />
      <button>Send</button>
    </form>
  );
}

function Members({ more }: { readonly more: () => void }) {
  const listed = model.listed.value;
  return (
    <aside class="members" aria-label="Members">
      <ul>
        {(listed?.members ?? []).map((event) => (
          <li key={event.state_key} title={event.state_key}>
            {model.memberOf(event).name}
          </li>
        ))}
      </ul>
      {listed === null && <p>…</p>}
      {listed?.hasMore && (
        <button type="button" onClick={more}>
          More members
        </button>
      )}
    </aside>
  );
}
