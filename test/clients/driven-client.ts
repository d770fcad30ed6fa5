/** Real clients as the scenario drives them: whatever library they are made of, and however each is told what to do. */

/** A user who exists, and where a device of theirs logs in. */
export type DeviceLogin = {
  /** Base URL of the server under test. */
  readonly url: string;
  readonly name: string;
  readonly password: string;
  readonly deviceId: string;
  /** A directory for what the client keeps. */
  readonly store: string;
};

/** A client of one device that is logged in and syncs. What it waits for it waits for at most a minute, and then it rejects. */
export type DrivenClient = {
  readonly userId: string;
  /** Resolves when its list has a room that the user is in, under that name. Default: under any name. */
  listed(roomId: string, name?: string): Promise<void>;
  /** Resolves when its list has an invite to the room. */
  invited(roomId: string): Promise<void>;
  join(roomId: string): Promise<void>;
  /** Opens a room, as a user does who taps it; the one opened before is closed. */
  open(roomId: string): Promise<void>;
  /** Resolves when the open room shows a message with that text, decrypted if it was encrypted. */
  shows(roomId: string, text: string): Promise<void>;
  /** Pages the open room back to its start; the texts of all its messages, oldest first. */
  toStart(roomId: string): Promise<readonly string[]>;
  /** Sends a text to the open room; resolves when it has come back by sync. */
  send(roomId: string, text: string): Promise<void>;
  /** Sends a read receipt for the newest message of the open room. */
  markRead(roomId: string): Promise<void>;
  /** Resolves when the open room shows that the user has read as far as that message. */
  readBy(roomId: string, text: string, userId: string): Promise<void>;
  /** Makes an encrypted room with another user; its id. */
  createDm(userId: string): Promise<string>;
  stop(): Promise<void>;
};

/** A kind of clients. */
export type ClientKind = {
  /** The library. */
  readonly name: string;
  /** Installs or builds what is needed. Returns how to start clients, or why that cannot be done on this machine. */
  prepare(say: (line: string) => void): Promise<LaunchClient | string>;
};

/** `again`: the device has logged in before, and its store is there. Two clients of one device must not run at once. */
export type LaunchClient = (login: DeviceLogin, again: boolean) => Promise<DrivenClient>;
