/** What an evaluation begins with: the head, the account's rooms, and what the device is sent. */

import { type ConnectionHead, readConnectionHeads } from "../store/connections.ts";
import type { Tx } from "../store/db.ts";
import type { AccountView, AccountViews } from "./account-view.ts";
import {
  asFarAsKnown,
  e2eeResult,
  type E2eeResult,
  emptyQueue,
  readLists,
  readQueue,
  type ToDeviceResult,
  unchangedLists,
} from "./extensions/device.ts";
import type { SlidingQuestion } from "./question.ts";

/** What is known before rows of single rooms are read. */
export type Overview = {
  readonly head: ConnectionHead;
  /** null: the request is about the device alone, so rooms need not be read. */
  readonly view: AccountView | null;
  readonly toDevice: ToDeviceResult | null;
  readonly e2ee: E2eeResult | null;
};

function isAboutTheAccount({ body: { lists, subscriptions, extensions }, state }: SlidingQuestion): boolean {
  const { accountData, profiles } = extensions;
  return lists.size > 0 || subscriptions.size > 0 || state.rooms.size > 0 || accountData !== undefined || profiles !== undefined;
}

/** A first answer has no device lists, since the client takes all of them for outdated then. */
function listsFrom({ body, pos }: SlidingQuestion): number | null {
  return body.extensions.e2ee && pos.session !== null ? pos.e2ee : null;
}

/** undefined: the database must be read. */
export function overviewFromMemory(views: AccountViews, question: SlidingQuestion, head: ConnectionHead): Overview | undefined {
  const { extensions } = question.body;
  const view = isAboutTheAccount(question) ? views.at(question.account, head) : null;
  const toDevice = emptyQueue(asFarAsKnown(extensions.toDevice, head), head);
  const lists = unchangedLists(listsFrom(question), head);
  if (view === undefined || toDevice === undefined || lists === undefined) return undefined;
  return { head, view, toDevice, e2ee: e2eeResult(extensions.e2ee === true, lists, head) };
}

/** Everything that can be read in one round trip, before it is known what else is needed. null: the connection is gone. */
export async function readOverview(tx: Tx, views: AccountViews, question: SlidingQuestion): Promise<Overview | null> {
  const { account, device, pos } = question;
  const { extensions } = question.body;
  const heading = readConnectionHeads(tx, [{ device, at: pos.session === null ? null : { ...pos, session: pos.session } }]).then(
    ([one]) => one ?? null,
  );
  const [head, view, queue, lists] = await Promise.all([
    heading,
    isAboutTheAccount(question) ? views.read(tx, account, heading, pos.position) : null,
    readQueue({ tx, device }, extensions.toDevice),
    readLists({ tx, device }, listsFrom(question)),
  ]);
  if (!head) return null;
  const known = asFarAsKnown(extensions.toDevice, head);
  const toDevice = known === extensions.toDevice ? queue : await readQueue({ tx, device }, known);
  return { head, view, toDevice, e2ee: e2eeResult(extensions.e2ee === true, lists, head) };
}
