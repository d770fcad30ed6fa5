import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import * as model from "./model.ts";
import { sizeText, summaryOf } from "./words.ts";

/** px; see style.css. */
const ROW = 56;
/** Rows beyond what is seen, above and below. */
const BEYOND = 8;
/** So many rows before the end of what is known, more are asked for. */
const AHEAD = 30;

type Props = { readonly open: (roomId: string) => void; readonly more: () => void };

/** All rooms of the account in a list as high as all of them: only those in sight are there. */
export function RoomList({ open, more }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  const active = useSignal(0);
  const known = model.order.value;
  const count = Math.max(model.total.value - model.invites.value.size, known.length);
  const first = Math.max(0, Math.floor(top.value / ROW) - BEYOND);
  const last = Math.min(count, Math.ceil((top.value + height.value) / ROW) + BEYOND);

  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const observer = new ResizeObserver(() => (height.value = element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => {
    if (known.length < count && last > known.length - AHEAD) more();
  }, [known.length, count, last]);

  const go = (to: number): void => {
    active.value = Math.max(0, Math.min(known.length - 1, to));
    const element = frame.current;
    if (!element) return;
    const at = active.value * ROW;
    if (at < element.scrollTop) element.scrollTop = at;
    else if (at + ROW > element.scrollTop + element.clientHeight) element.scrollTop = at + ROW - element.clientHeight;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const page = Math.floor(height.value / ROW);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -count, End: count };
    const step = steps[event.key];
    const room = known[active.value];
    if (step !== undefined) go(active.value + step);
    else if (event.key === "Enter" && room) open(room.id);
    else return;
    event.preventDefault();
  };

  return (
    <div
      class="list"
      ref={frame}
      role="listbox"
      aria-label={`${count} rooms`}
      aria-activedescendant={`room-${active.value}`}
      tabIndex={0}
      onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
    >
      <FirstSync />
      {count === 0 && model.firstSync.value === null && <p class="empty">No rooms</p>}
      <div class="all" style={{ height: `${count * ROW}px` }}>
        {Array.from({ length: Math.max(0, last - first) }, (_, i) => first + i).map((index) => (
          <Row key={known[index]?.id ?? index} index={index} room={known[index]} isActive={index === active.value} open={open} />
        ))}
      </div>
    </div>
  );
}

type RowProps = {
  readonly index: number;
  readonly room: model.Room | undefined;
  readonly isActive: boolean;
  readonly open: (roomId: string) => void;
};

function Row({ index, room, isActive, open }: RowProps) {
  const style = { transform: `translateY(${index * ROW}px)` };
  if (!room) return <div class="row unknown" style={style} />;
  const last = room.timeline.at(-1);
  const isOpen = room.id === model.openId.value;
  return (
    <div
      id={`room-${index}`}
      class={`row ${isActive ? "active" : ""} ${isOpen ? "opened" : ""}`}
      style={style}
      role="option"
      aria-selected={isOpen}
      data-room={room.id}
      onClick={() => open(room.id)}
    >
      <span class="name">{model.nameOf(room)}</span>
      {room.notifications > 0 && (
        <span class={`badge ${room.highlights > 0 ? "highlight" : ""}`} aria-label={`${room.notifications} unread`}>
          {room.notifications}
        </span>
      )}
      <small>{room.typing.length > 0 ? "typing …" : last ? summaryOf(last) : ""}</small>
    </div>
  );
}

/** A large account takes its homeserver minutes. */
function FirstSync() {
  const status = model.firstSync.value;
  if (status === null) return null;
  const seconds = Math.max(0, Math.round((Date.now() - status.since_ts) / 1000));
  const received = status.received_bytes ?? 0;
  return (
    <p class="empty" role="status">
      The account's first sync is running: {seconds} s{received > 0 && `, ${sizeText(received)} received`}
      {status.rooms > 0 && `, ${status.rooms} rooms loaded`}
      {status.rooms_left !== undefined && `, ${status.rooms_left} rooms remaining`}
    </p>
  );
}
