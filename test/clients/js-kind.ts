/** matrix-js-sdk, in this process. */

import { JsClient, type JsLogin, listOf, logInJs } from "../support/js-client.ts";
import type { ClientKind, DrivenClient } from "./driven-client.ts";

/** More than the scenario has rooms. */
const LIST = 100;
const PAGE = 30;

export const js: ClientKind = {
  name: "matrix-js-sdk",
  prepare: async () => {
    /** What a user logged in with, by the device's store. */
    const logins = new Map<string, JsLogin>();
    return async ({ url, name, password, deviceId, store }, again) => {
      const known = again ? logins.get(store) : undefined;
      const login = known ?? (await logInJs(url, name, password, deviceId));
      logins.set(store, login);
      return driven(await JsClient.start(login, { all: listOf(LIST) }), login.userId);
    };
  },
};

function driven(client: JsClient, userId: string): DrivenClient {
  const is = (roomId: string, membership: string) => client.until(() => client.room(roomId)?.getMyMembership() === membership);
  /** What comes after a room was opened it decrypts by itself; what was there before only when asked. */
  const shows = async (roomId: string, text: string) => {
    await client.until(() => client.room(roomId));
    await client.decrypt(roomId);
    await client.until(() => client.texts(roomId).includes(text));
  };
  return {
    userId,
    listed: async (roomId, name) => {
      await is(roomId, "join");
      await client.until(() => name === undefined || client.room(roomId)?.name === name);
    },
    invited: async (roomId) => void (await is(roomId, "invite")),
    join: async (roomId) => {
      await client.client.joinRoom(roomId);
      await is(roomId, "join");
    },
    open: async (roomId) => {
      client.open(roomId);
      await client.until(() => client.room(roomId)?.getMember(userId)?.membership === "join");
    },
    shows,
    toStart: async (roomId) => {
      // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
      while (!(await client.older(roomId, PAGE)));
      return client.texts(roomId);
    },
    send: async (roomId, text) => {
      if (client.room(roomId)?.hasEncryptionStateEvent() === true) await client.readyToEncrypt(roomId);
      await client.client.sendTextMessage(roomId, text);
      await shows(roomId, text);
    },
    markRead: async (roomId) => void (await client.client.sendReadReceipt(client.room(roomId)?.getLiveTimeline().getEvents().at(-1) ?? null)),
    readBy: async (roomId, text, reader) => {
      await client.until(() => {
        const events = client.room(roomId)?.getLiveTimeline().getEvents();
        const event = events?.find((each) => each.getContent()["body"] === text);
        return event !== undefined && client.room(roomId)?.hasUserReadEvent(reader, event.getId() ?? "") === true;
      });
    },
    createDm: async (other) => {
      const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
      const options = { preset: "trusted_private_chat", is_direct: true, invite: [other], initial_state: [encryption] };
      return (await client.client.createRoom(options as never)).room_id;
    },
    stop: async () => client.stop(),
  };
}
