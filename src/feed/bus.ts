/** What carries wake-ups between processes: texts in, texts out, none of them stored. Two kinds: postgres-bus.ts, nats-bus.ts. */

export type BusEvents = {
  /** A text arrived, from any process; our own may come back too. */
  readonly received: (text: string) => void;
  /** Listening works again after a time in which it may not have: texts sent meanwhile are lost. */
  readonly back: () => void;
};

export interface Bus {
  /** Begins to listen; resolves when it listens, or is trying to. From then on it reconnects without help. */
  start(events: BusEvents): Promise<void>;
  /** Resolves when the texts are sent; rejects soon if they may not be. Each has at most 7000 bytes. */
  send(texts: readonly string[]): Promise<void>;
  close(): Promise<void>;
}
