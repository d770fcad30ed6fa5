/** What the page does with an account that it follows, through whichever API. */

import type { Told } from "../../packages/client/src/index.ts";

export type Follower = {
  readonly answers: AsyncGenerator<Told<object>, void>;
  readonly apply: (answer: object) => void;
  /** Shows a room; null: none. */
  open(roomId: string | null): void;
  moreRooms(): Promise<void>;
  moreMembers(): Promise<void>;
};
