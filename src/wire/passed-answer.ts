/** What is known of a v2 client's to-device messages while one of its syncs is passed on (D1). */

/** How far the v2 client is when it asks. */
export type PassStart = {
  /** It has received everything up to this seq: what it acknowledged before, or what the `since` of its request acknowledges. */
  readonly acknowledged: number;
  /** The device's seq now: messages queued up to here came before the upstream answer that is about to be requested. */
  readonly upTo: number;
  /** Whether a message between the two is still queued. */
  readonly waiting: boolean;
};

/** The homeserver's answer to it. */
export type PassInput = {
  readonly start: PassStart;
  /** The v2 token that the client sent, null for none, and the one that it is given. */
  readonly since: string | null;
  readonly nextBatch: string;
  /** Texts of the answer's to-device messages, oldest first. */
  readonly messages: readonly string[];
};

/** `bodies`: the messages to send to the client, oldest first, up to the seq `sentUpTo`. `added`: how many of them the poller had not seen. */
export type PassOutput = { readonly bodies: readonly string[]; readonly sentUpTo: number; readonly added: number };
