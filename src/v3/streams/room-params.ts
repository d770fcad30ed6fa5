/** What the room stream is asked for, and what it does with each room. */

import type { StateSelector } from "../../store/state.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { MembersSort } from "./room-members.ts";

export type RoomParams = {
  readonly roomId: RoomId | "room_list" | null;
  readonly timelineLimit: number;
  readonly types: readonly string[] | undefined;
  readonly notTypes: readonly string[] | undefined;
  readonly state: StateSelector;
  /** 0: only members that are senders in the timeline. */
  readonly memberLimit: number;
  readonly memberSort: MembersSort;
  readonly earliest: readonly string[];
};

export type RoomTask = { readonly roomId: RoomId; readonly step: "start" | "delta" | "lost" };
