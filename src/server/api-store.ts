/** Implements what the API needs of the store on a database, so that the API itself contains no SQL. */

import { Gathered } from "../base/gathered.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type {
  FindDevice,
  Forgetting,
  HistoryStore,
  KeyUploadStore,
  PassQueue,
  RoomStore,
  SentEventStore,
  ThreadPages,
  TokenStore,
} from "../api/ports.ts";
import { type Feed, goneWake } from "../feed/hub.ts";
import { unlockAccount } from "../store/account-locks.ts";
import type { Sql } from "../store/db.ts";
import { writeTx } from "../store/db.ts";
import { deleteAccount, deleteDevice, findDevice, pollState } from "../store/devices.ts";
import { findDevices, forgetRoom } from "../store/forget.ts";
import { atOrAfter, notePaging, pointOf } from "../store/history.ts";
import { readIgnored } from "../store/ignored.ts";
import { noteKeyUpload } from "../store/key-uploads.ts";
import { isWaiting, passAnswer, startPass } from "../store/passed-answers.ts";
import { readRoomSummary } from "../store/room-summary.ts";
import { endSession, listSessions } from "../store/session-list.ts";
import { insertSentEvent } from "../store/sent-events.ts";
import { readThreads, threadsRest } from "../store/thread-subscriptions.ts";
import { findTokens, markDead, markVerified, registerToken, sealToken } from "../store/tokens.ts";
import { threadsSpan, threadsToken } from "../sliding/threads-token.ts";
import { object } from "../sync/json-text.ts";
import { type LockDeps, noteLocked } from "../upstream/account-lock.ts";
import type { SessionStore } from "../v3/face/sessions-route.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { threadMembers } from "../wire/thread-subscriptions.ts";

/** The most messages in one passed v2 answer. The rest comes with the next answer, which does not wait. */
const PASS_LIMIT = 1000;

/** `feed` wakes requests whose tokens or accounts are refused (T16, T17). */
export function tokenStore(deps: LockDeps & { readonly box: SecretBox }): TokenStore {
  const { sql, box, feed } = deps;
  const finds = new Gathered((hashes: readonly Buffer[]) => findTokens(sql, hashes), { lanes: 2 });
  return {
    async find(hash) {
      const row = await finds.ask(hash);
      if (!row) return null;
      const { account, device, userId, deviceId, verifiedAgoMs: provenAgoMs, deadAgoMs, softLogout, locked, head } = row;
      const dead = deadAgoMs === null ? null : { agoMs: deadAgoMs, softLogout };
      return { account, device, userId, deviceId, provenAgoMs, dead, locked, head };
    },
    register: ({ token, userId, deviceId }) => registerToken(sql, { ...sealToken(box, token), userId, deviceId }),
    proven: (hash, agoMs) => markVerified(sql, [{ tokenHash: hash, agoMs }]),
    async dead(hash, softLogout) {
      const account = await markDead(sql, hash, softLogout);
      if (account !== null) feed.publish(goneWake(account));
    },
    locked: (account, body) => noteLocked(deps, account, body),
    unlocked: (account) => unlockAccount(sql, account, 0),
  };
}

export function passQueue(sql: Sql): PassQueue {
  return {
    async polledDevice(userId, deviceId) {
      const found = await findDevice(sql, userId, deviceId);
      const polled = found && (await pollState(sql, found.device));
      return polled && polled.deviceSince !== null ? found : null;
    },
    start: (ref, since) => startPass(sql, ref.account, ref.device, since),
    isWaiting: (ref, after) => isWaiting(sql, ref.device, after),
    pass: (ref, input) => writeTx(sql, (tx) => passAnswer(tx, { ...ref, ...input, limit: PASS_LIMIT })),
  };
}

export function historyStore(sql: Sql): HistoryStore {
  return {
    noted: (account) => notePaging(sql, account),
    place: (account, room, event) => pointOf(sql, account, room, event),
    atOrAfter: (account, room, place, ids) => atOrAfter(sql, account, room, place, ids),
  };
}

export function roomStore(sql: Sql): RoomStore {
  return { summary: (account, room) => readRoomSummary(sql, account, room), ignored: (account) => readIgnored(sql, account) };
}

/** `feed` wakes requests that wait with a session that ends (T18). */
export function sessionStore(sql: Sql, feed: Pick<Feed, "publish">): SessionStore {
  return {
    list: (device) => listSessions(sql, device),
    async end(account, device, session) {
      const isEnded = await writeTx(sql, (tx) => endSession(tx, device, session));
      if (isEnded) feed.publish(goneWake(account));
      return isEnded;
    },
  };
}

export function deviceFinder(sql: Sql): FindDevice {
  return (userId, deviceId) => findDevice(sql, userId, deviceId);
}

export function sentEventStore(sql: Sql): SentEventStore {
  return { learned: ({ device, eventId, txnId }) => insertSentEvent(sql, device, eventId, txnId) };
}

export function keyUploadStore(sql: Sql): KeyUploadStore {
  return { uploaded: ({ device }, keys) => noteKeyUpload(sql, device, keys) };
}

/** `stop` ends the pollers of a device (null: of the entire account) before its rows are deleted; then `feed` wakes the waiting requests (T18). */
export function forgetting(
  sql: Sql,
  feed: Pick<Feed, "publish">,
  stop: (account: AccountNo, device: DeviceNo | null) => void | Promise<void>,
): Forgetting {
  return {
    find: (userId, deviceIds) => findDevices(sql, userId, deviceIds),
    async forgetDevice(account, device) {
      await stop(account, device);
      await deleteDevice(sql, device);
      feed.publish(goneWake(account));
    },
    async forgetAccount(account) {
      await stop(account, null);
      await deleteAccount(sql, account);
      feed.publish(goneWake(account));
    },
    forgetRoom: (account, roomId) => forgetRoom(sql, account, roomId),
  };
}

/** After the last one that is stored, the homeserver continues where it said that it has more. */
export function threadPages(sql: Sql): ThreadPages {
  return async (account, from, limit) => {
    const span = threadsSpan(from);
    if (!span) return null;
    const { rows, isAll } = await readThreads(sql, account, span, limit);
    const rest = isAll && span.after === 0 ? await threadsRest(sql, account) : null;
    const end = isAll ? rest : threadsToken({ after: span.after, before: rows.at(-1)?.ord ?? null });
    return object([...threadMembers(rows), end !== null && ["end", JSON.stringify(end)]]);
  };
}
