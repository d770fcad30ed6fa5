/** Bodies of requests and answers. Written by scripts/api-types.ts from the server's schemas: do not edit. */

export interface V3Request {
  typing?: {
    room_id?: string | null;
  } | null;
  to_device?: {
    limit?: number | null;
  } | null;
  room_members?: {
    room_id?: string | null;
    membership?: string[] | null;
    p?: {
      limit?: number | null;
      sort?: (string | string[]) | null;
      since?: string | null;
    } | null;
  } | null;
  room?: {
    room_id?: string | null;
    timeline_limit?: number | null;
    types?: string[] | null;
    not_types?: string[] | null;
    state?: ("all" | [string, string][]) | null;
    room_member_limit?: number | null;
    room_member_sort?: string | null;
    earliest_timeline_event_ids?: string[] | null;
  } | null;
  room_list?: {
    p?: {
      limit?: number | null;
      sort?: (string | string[]) | null;
      since?: string | null;
    } | null;
    state_events?: [string, string][] | null;
    spaces?: string[] | null;
    timeline_limit?: number | null;
    lazy_load_members?: boolean | null;
    track_notifications?: boolean | null;
    filters?: {
      is_dm?: boolean | null;
      is_encrypted?: boolean | null;
      tags?: string[] | null;
      not_tags?: string[] | null;
      room_types?: (string | null)[] | null;
      not_room_types?: (string | null)[] | null;
      room_name_like?: string | null;
    } | null;
    rooms?: boolean | null;
  } | null;
  feed?: {
    limit?: number | null;
    rooms?: string[] | null;
  } | null;
  invites?: {} | null;
  account_data?: {
    global?: boolean | null;
    rooms?: (string | string[]) | null;
  } | null;
  receipts?: {
    room_id?: string | null;
  } | null;
  presence?: {} | null;
  e2ee?: {} | null;
}
export interface V3Answer {
  /**
   * Token of the next request
   */
  next: string;
  /**
   * The account's first v2 answer is not there yet (D23)
   */
  initial_sync?: "in_progress";
  typing?: {
    events?: TypingEvent[];
    errcode?: string;
    error?: string;
  };
  to_device?: {
    limit: number;
    events: ToDeviceMessage[];
  };
  room_members?: {
    events?: MatrixEvent[];
    p?: V3MembersPage;
    errcode?: string;
    error?: string;
  };
  room?: {
    rooms?: {
      [k: string]: V3Room;
    };
    errcode?: string;
    error?: string;
  };
  room_list?: {
    rooms: V3ListEntry[];
    count: number;
    p: V3ListPage;
    removed?: string[];
    notifications?: V3Notification[];
  };
  feed?: {
    limit: number;
    entries: V3FeedEntry[];
  };
  invites?: {
    rooms?: {
      [k: string]: {
        invite_state?: {
          events: StrippedEvent[];
        };
        knock_state?: {
          events: StrippedEvent[];
        };
      };
    };
    gone?: string[];
  };
  account_data?: {
    global?: AccountData[];
    rooms?: {
      [k: string]: AccountData[];
    };
  };
  receipts?: {
    rooms?: {
      [k: string]: ReceiptEvent;
    };
    errcode?: string;
    error?: string;
  };
  presence?: {
    events: PresenceEvent[];
  };
  e2ee?: E2Ee;
}
/**
 * Who is typing: the full set
 */
export interface TypingEvent {
  type: "m.typing";
  room_id?: string;
  content: {
    user_ids: string[];
  };
}
/**
 * Byte for byte as the homeserver sent it
 */
export interface ToDeviceMessage {
  type: string;
  sender: string;
  content: {
    [k: string]: unknown;
  };
  [k: string]: unknown;
}
/**
 * A room's event
 */
export interface MatrixEvent {
  type: string;
  event_id: string;
  sender: string;
  content: {
    [k: string]: unknown;
  };
  /**
   * ms since 1970, as the sender's server says
   */
  origin_server_ts: number;
  /**
   * Absent where the event stands under its room
   */
  room_id?: string;
  /**
   * Of state events alone
   */
  state_key?: string;
  unsigned?: {
    [k: string]: unknown;
  };
  [k: string]: unknown;
}
/**
 * What was negotiated (R16)
 */
export interface V3MembersPage {
  limit: number;
  /**
   * Token of the next page (R17)
   */
  next?: string;
  sort: string;
}
/**
 * A room: in full, or what is new (S4)
 */
export interface V3Room {
  initial?: true;
  state?: {
    events: MatrixEvent[];
    /**
     * The event that it is the state before
     */
    state_before?: string;
  };
  members?: {
    events: MatrixEvent[];
    p?: V3MembersPage;
  };
  timeline?: {
    events: MatrixEvent[];
    limited: boolean;
    prev_batch: string | null;
  };
  notification_count?: number;
  highlight_count?: number;
  joined_count?: number;
  invited_count?: number;
}
/**
 * A room as a list shows it: in full, or what changed (S5)
 */
export interface V3ListEntry {
  room_id: string;
  name?: string | null;
  avatar?: string | null;
  heroes?: Hero[] | null;
  is_dm?: boolean | null;
  is_encrypted?: boolean | null;
  joined_count?: number | null;
  invited_count?: number | null;
  notification_count?: number | null;
  highlight_count?: number | null;
  tags?: {
    [k: string]: unknown;
  } | null;
  space_order?: {
    order: string | null;
    origin_server_ts: number;
  };
  /**
   * What the list is sorted by, ms since 1970
   */
  recency: number;
  state_events?: MatrixEvent[];
  prev_batch?: string | null;
  /**
   * The last one is the newest
   */
  timeline?: MatrixEvent[];
  limited?: boolean;
}
/**
 * Whom a room without a name is called after
 */
export interface Hero {
  user_id: string;
  displayname?: string;
  avatar_url?: string;
}
/**
 * What was negotiated (R16)
 */
export interface V3ListPage {
  limit: number;
  /**
   * Token of the next page (R17)
   */
  next?: string;
  sort: string[];
}
/**
 * Of a room that was not sent (S5)
 */
export interface V3Notification {
  room_id: string;
  notification_count?: number;
  highlight_count?: number;
  events?: MatrixEvent[];
  timeline?: MatrixEvent[];
}
/**
 * An event or a gap (S6)
 */
export interface V3FeedEntry {
  /**
   * Rises from entry to entry, and never changes
   */
  place: number;
  event?: MatrixEvent;
  gap?: V3FeedGap;
}
/**
 * Events of the room that could not be had
 */
export interface V3FeedGap {
  room_id: string;
  /**
   * The last event before the gap
   */
  after?: string;
  /**
   * The first event after the gap
   */
  before?: string;
  /**
   * For /messages, at the end of the gap
   */
  prev_batch: string;
}
/**
 * State of a room that the user is not in
 */
export interface StrippedEvent {
  type: string;
  sender: string;
  state_key: string;
  content: {
    [k: string]: unknown;
  };
  [k: string]: unknown;
}
/**
 * The account's own data of one type
 */
export interface AccountData {
  type: string;
  content: {
    [k: string]: unknown;
  };
  [k: string]: unknown;
}
/**
 * What changed of a room's receipts
 */
export interface ReceiptEvent {
  type: "m.receipt";
  content: ReceiptContent;
}
/**
 * By event, kind (m.read, …) and user
 */
export interface ReceiptContent {
  [k: string]: {
    [k: string]: {
      [k: string]: Receipt;
    };
  };
}
/**
 * When, and of which thread
 */
export interface Receipt {
  /**
   * ms since 1970
   */
  ts?: number;
  thread_id?: string;
  [k: string]: unknown;
}
/**
 * Whether a user is online
 */
export interface PresenceEvent {
  type: string;
  sender: string;
  content: {
    [k: string]: unknown;
  };
  [k: string]: unknown;
}
/**
 * What encryption needs
 */
export interface E2Ee {
  device_lists?: DeviceLists;
  /**
   * By algorithm
   */
  device_one_time_keys_count?: {
    [k: string]: number;
  };
  device_unused_fallback_key_types?: string[];
}
/**
 * Users whose device lists changed, and users with whom no encrypted room is shared any more
 */
export interface DeviceLists {
  changed: string[];
  left: string[];
}
export interface SlidingRequest {
  conn_id?: string | null;
  txn_id?: string | null;
  pos?: string | null;
  timeout?: number | null;
  set_presence?: string | null;
  lists?: {
    [k: string]: {
      required_state?: [string, string][] | null;
      timeline_limit?: number | null;
      ranges?: [number, number][] | null;
      slow_get_all_rooms?: boolean | null;
      filters?: {
        is_dm?: boolean | null;
        is_encrypted?: boolean | null;
        is_invite?: boolean | null;
        spaces?: string[] | null;
        room_types?: (string | null)[] | null;
        not_room_types?: (string | null)[] | null;
        room_name_like?: string | null;
        tags?: string[] | null;
        not_tags?: string[] | null;
      } | null;
    };
  } | null;
  room_subscriptions?: {
    [k: string]: {
      required_state?: [string, string][] | null;
      timeline_limit?: number | null;
    };
  } | null;
  unsubscribe_rooms?: string[] | null;
  extensions?: {
    to_device?: {
      enabled?: boolean | null;
      limit?: number | null;
      since?: string | null;
    } | null;
    e2ee?: {
      enabled?: boolean | null;
    } | null;
    account_data?: {
      enabled?: boolean | null;
      lists?: string[] | null;
      rooms?: string[] | null;
    } | null;
    "org.matrix.msc4262.profiles"?: {
      enabled?: boolean | null;
      lists?: string[] | null;
      rooms?: string[] | null;
      fields?: string[] | null;
    } | null;
    receipts?: {
      enabled?: boolean | null;
      lists?: string[] | null;
      rooms?: string[] | null;
    } | null;
    typing?: {
      enabled?: boolean | null;
      lists?: string[] | null;
      rooms?: string[] | null;
    } | null;
    presence?: {
      enabled?: boolean | null;
    } | null;
    "io.element.msc4308.thread_subscriptions"?: {
      enabled?: boolean | null;
      limit?: number | null;
    } | null;
    "org.matrix.msc4354.sticky_events"?: {
      enabled?: boolean | null;
      limit?: number | null;
      since?: string | null;
    } | null;
  } | null;
}
export interface SlidingAnswer {
  /**
   * Position of the next request
   */
  pos: string;
  txn_id?: string;
  lists?: {
    [k: string]: {
      count: number;
      ops: {
        op: "SYNC";
        /**
         * @minItems 2
         * @maxItems 2
         */
        range: [number, number];
        room_ids: string[];
      }[];
    };
  };
  rooms: {
    [k: string]: SlidingRoom;
  };
  extensions: {
    to_device?: SlidingToDevice;
    e2ee?: E2Ee;
    account_data?: SlidingAccountData;
    "org.matrix.msc4262.profiles"?: SlidingProfiles;
    receipts?: {
      rooms: {
        [k: string]: ReceiptEvent;
      };
    };
    "org.matrix.msc4354.sticky_events"?: SlidingStickyEvents;
    typing?: {
      rooms: {
        [k: string]: TypingEvent;
      };
    };
    presence?: SlidingPresence;
    "io.element.msc4308.thread_subscriptions"?: SlidingThreadSubscriptions;
  };
}
/**
 * A room: in full if `initial`, otherwise what is new
 */
export interface SlidingRoom {
  /**
   * All of the room, not what changed
   */
  initial?: true;
  heroes?: Hero[];
  is_dm?: boolean;
  joined_count?: number;
  invited_count?: number;
  /**
   * Rooms are sorted by it, the highest first
   */
  bump_stamp?: number;
  /**
   * The last one is the newest
   */
  timeline?: MatrixEvent[];
  /**
   * There are events between these and those sent before
   */
  limited?: boolean;
  /**
   * For /messages, where older events are
   */
  prev_batch?: string | null;
  /**
   * So many events at the timeline's end are new
   */
  num_live?: number;
  name?: string;
  avatar?: string | null;
  notification_count?: number;
  highlight_count?: number;
  invite_state?: StrippedEvent[];
  required_state?: MatrixEvent[];
  unstable_expanded_timeline?: true;
}
export interface SlidingToDevice {
  /**
   * `since` of the next request: it acknowledges these
   */
  next_batch: string;
  events: ToDeviceMessage[];
}
export interface SlidingAccountData {
  global: AccountData[];
  rooms: {
    [k: string]: AccountData[];
  };
}
export interface SlidingProfiles {
  users: {
    [k: string]: {
      /**
       * The fields that are new or changed
       */
      updated?: {
        [k: string]: unknown;
      };
      /**
       * The fields that are gone
       */
      removed?: string[];
    } | null;
  };
}
export interface SlidingStickyEvents {
  /**
   * `since` of the next request: it acknowledges these
   */
  next_batch: string;
  rooms: {
    [k: string]: {
      events: MatrixEvent[];
    };
  };
}
export interface SlidingPresence {
  events: PresenceEvent[];
}
/**
 * By room and root of the thread
 */
export interface SlidingThreadSubscriptions {
  subscribed?: {
    [k: string]: {
      [k: string]: ThreadSubscription;
    };
  };
  unsubscribed?: {
    [k: string]: {
      [k: string]: ThreadUnsubscription;
    };
  };
  /**
   * `from` of /thread_subscriptions, where the others are
   */
  prev_batch?: string;
}
export interface ThreadSubscription {
  automatic: boolean;
  bump_stamp: number;
}
export interface ThreadUnsubscription {
  bump_stamp: number;
}
export interface V4Request {
  conn_id?: string;
  pos?: string;
  timeout?: number;
  set_presence?: string;
  lists?: {
    [k: string]: {
      timeline_limit: number;
      required_state: {
        include?: {
          type?: string;
          state_key?: string;
        }[];
        exclude?: {
          type?: string;
          state_key?: string;
        }[];
        lazy_members?: boolean;
      };
      /**
       * @minItems 2
       */
      range?: [number, number];
      filters?: {
        is_dm?: boolean;
        spaces?: string[];
        is_encrypted?: boolean;
        is_invited?: boolean;
        room_types?: (string | null)[];
        not_room_types?: (string | null)[];
        tags?: string[];
        not_tags?: string[];
      };
    };
  };
  room_subscriptions?: {
    [k: string]: {
      timeline_limit: number;
      required_state: {
        include?: {
          type?: string;
          state_key?: string;
        }[];
        exclude?: {
          type?: string;
          state_key?: string;
        }[];
        lazy_members?: boolean;
      };
    };
  };
  extensions?: {
    to_device?: {
      enabled?: boolean;
      limit?: number;
      since?: string;
    };
    "org.matrix.msc4538.to_device"?: {
      enabled?: boolean;
      limit?: number;
      since?: string;
    };
    e2ee?: {
      enabled?: boolean;
    };
    "org.matrix.msc4543.e2ee"?: {
      enabled?: boolean;
    };
    account_data?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
    };
    "org.matrix.msc4548.account_data"?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
    };
    profiles?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
      fields?: string[];
    };
    "org.matrix.msc4262.profiles"?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
      fields?: string[];
    };
    receipts?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
    };
    "org.matrix.msc4551.receipts"?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
    };
    sticky_events?: {
      enabled?: boolean;
      limit?: number;
      since?: string;
    };
    "org.matrix.msc4354.sticky_events"?: {
      enabled?: boolean;
      limit?: number;
      since?: string;
    };
    typing?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
    };
    "org.matrix.msc4508.typing"?: {
      enabled?: boolean;
      lists?: string[];
      rooms?: string[];
    };
    presence?: {
      enabled?: boolean;
    };
    thread_subscriptions?: {
      enabled?: boolean;
      limit?: number;
    };
    "io.element.msc4308.thread_subscriptions"?: {
      enabled?: boolean;
      limit?: number;
    };
  };
}
export interface V4Answer {
  /**
   * Position of the next request
   */
  pos: string;
  lists?: {
    [k: string]: {
      count: number;
    };
  };
  rooms: {
    [k: string]: V4Room;
  };
  extensions: {
    to_device?: SlidingToDevice;
    "org.matrix.msc4538.to_device"?: SlidingToDevice;
    e2ee?: E2Ee;
    "org.matrix.msc4543.e2ee"?: E2Ee;
    account_data?: SlidingAccountData;
    "org.matrix.msc4548.account_data"?: SlidingAccountData;
    profiles?: SlidingProfiles;
    "org.matrix.msc4262.profiles"?: SlidingProfiles;
    receipts?: {
      rooms: {
        [k: string]: ReceiptContent;
      };
    };
    "org.matrix.msc4551.receipts"?: {
      rooms: {
        [k: string]: ReceiptContent;
      };
    };
    sticky_events?: SlidingStickyEvents;
    "org.matrix.msc4354.sticky_events"?: SlidingStickyEvents;
    typing?: {
      rooms: {
        [k: string]: {
          user_ids: string[];
        };
      };
    };
    "org.matrix.msc4508.typing"?: {
      rooms: {
        [k: string]: {
          user_ids: string[];
        };
      };
    };
    presence?: SlidingPresence;
    thread_subscriptions?: SlidingThreadSubscriptions;
    "io.element.msc4308.thread_subscriptions"?: SlidingThreadSubscriptions;
  };
}
/**
 * A room: in full if `initial`, otherwise what is new
 */
export interface V4Room {
  /**
   * All of the room, not what changed
   */
  initial?: true;
  heroes?: Hero[];
  is_dm?: boolean;
  joined_count?: number;
  invited_count?: number;
  /**
   * Rooms are sorted by it, the highest first
   */
  bump_stamp?: number;
  /**
   * The last one is the newest
   */
  timeline?: MatrixEvent[];
  /**
   * There are events between these and those sent before
   */
  limited?: boolean;
  /**
   * For /messages, where older events are
   */
  prev_batch?: string | null;
  /**
   * So many events at the timeline's end are new
   */
  num_live?: number;
  name?: string | null;
  avatar?: string | null;
  membership: string;
  stripped_state?: StrippedEvent[];
  required_state?: (MatrixEvent | StateStub)[];
  lists?: string[];
  expanded_timeline?: true;
}
/**
 * State that is gone
 */
export interface StateStub {
  type: string;
  state_key: string;
}
export interface SessionsAnswer {
  sessions: {
    id: string;
    /**
     * v3, v2, connection, or sliding (all connections, as they take part in the purge)
     */
    kind: string;
    created_ts: number;
    last_used_ts: number;
    position: number;
    /**
     * Messages stored until this session has them
     */
    to_device_held: number;
  }[];
}
export interface AccountAnswer {
  /**
   * first_sync: the homeserver's first answer is not stored yet
   */
  state: "first_sync" | "synced";
  /**
   * When the account was first seen here, ms since 1970
   */
  since_ts: number;
  /**
   * Rooms of which something is stored
   */
  rooms: number;
  /**
   * Rooms that are still to be read one by one, since the homeserver's answer was too large; absent: none
   */
  rooms_left?: number;
  /**
   * The account does not advance, as its polls fail; absent: they do not
   */
  trouble?: {
    /**
     * unreachable, timed_out, rate_limited, locked, rejected, too_large, content, …
     */
    reason: string;
    /**
     * ms since 1970
     */
    since_ts: number;
  };
  /**
   * Of the homeserver's first answer, so far; absent where another process asks for it, or nobody does just now
   */
  received_bytes?: number;
}
