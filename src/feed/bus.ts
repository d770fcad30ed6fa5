/** What carries wake-ups from one process to the others: texts in, texts out, none of them kept. Two kinds: postgres-bus.ts, nats-bus.ts. */

export type BusEvents = {
  /** Something came, from whichever process; our own may come back too. */
  readonly received: (text: string) => void;
  /** We hear again after a time in which we may not have: what was sent meanwhile is lost. */
  readonly back: () => void;
};

export interface Bus {
  /** Begins to listen; resolves when it does, or is trying. From then on it mends itself. */
  start(events: BusEvents): Promise<void>;
  /** Resolves when the texts are out. Rejects soon where they may not be. Each has at most 7000 bytes. */
  send(texts: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
