/** M80 to M83: thread subscriptions (MSC4306, MSC4308) of a Synapse that has them, through us as Synapse's own sliding sync tells them. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { THREADS } from "../support/fake-threads.ts";
import { Front } from "../support/front.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL } from "../support/sliding-waits.ts";
import { startSynapse, type Synapse } from "../support/synapse.ts";

const PAGES = "/_matrix/client/unstable/io.element.msc4308/thread_subscriptions";

let synapse: Synapse;
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  synapse = await startSynapse({ more: { experimental_features: { msc4306_enabled: true } } });
  database = await freshDatabase();
  front = await new Front(synapse.url, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
  await synapse.stop();
});

type Section = { readonly subscribed?: object; readonly unsubscribed?: object; readonly prev_batch?: string; readonly end?: string };

describe.each(DIALECTS)("thread subscriptions of Synapse (%s)", (dialect) => {
  const name = dialect === "v4" ? "thread_subscriptions" : THREADS;

  it("M80 M81 M82 M83: what Synapse says, from whatever client it comes, also after a restart of either", { timeout: 180_000 }, async () => {
    const alice = await synapse.users.registerUser(`threads-${dialect}`);
    const client = front.client(alice);
    const phone = new SlidingClient(client, dialect);
    const room = await alice.createRoom({});
    const roots = [await alice.send(room, "one"), await alice.send(room, "two"), await alice.send(room, "three")] as const;
    const subscription = (root: string) =>
      `/_matrix/client/unstable/io.element.msc4306/rooms/${encodeURIComponent(room)}/thread/${encodeURIComponent(root)}/subscription`;
    const asking = (limit = 100): Ask => ({ ...ALL, ext: { [name]: { enabled: true, limit } } });
    const sectionOf = ({ extensions }: Answer) => (extensions[name] ?? {}) as Section;
    let pos: string | undefined;
    /** The section that comes, with others meanwhile passed over. */
    const next = async (): Promise<Section> => {
      for (;;) {
        // oxlint-disable-next-line no-await-in-loop -- each goes on where the last one ended
        const answer = await phone.sync(asking(), { pos, timeout: 30_000 });
        ({ pos } = answer);
        if (Object.keys(sectionOf(answer)).length > 0) return sectionOf(answer);
      }
    };
    /** What Synapse's own sliding sync tells a client that begins. */
    const native = async (): Promise<Section> => {
      const path = `${synapse.url}/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0`;
      const body = JSON.stringify({ conn_id: "native", extensions: { [THREADS]: { enabled: true } } });
      const reply = await fetch(path, { method: "POST", headers: { authorization: `Bearer ${client.token}` }, body });
      return ((await reply.json()) as { extensions: Record<string, Section> }).extensions[THREADS] ?? {};
    };

    const versions = await client.fetch("GET", "/_matrix/client/versions");
    expect(versions.body["unstable_features"]).toMatchObject({ "org.matrix.msc4306": true, "org.matrix.simplified_msc3575": true });
    expect((await client.fetch("PUT", subscription(roots[0]), "{}")).status).toBe(200);
    expect((await client.fetch("PUT", subscription(roots[1]), "{}")).status).toBe(200);
    expect(await next()).toEqual(await native());

    // Past us, and from another device.
    const bearer = { authorization: `Bearer ${client.token}` };
    await fetch(synapse.url + subscription(roots[0]), { method: "DELETE", headers: bearer });
    expect(Object.keys(await next())).toEqual(["unsubscribed"]);
    await front.restart();
    await fetch(synapse.url + subscription(roots[2]), { method: "PUT", headers: bearer, body: "{}" });
    expect(Object.keys(await next())).toEqual(["subscribed"]);
    await synapse.restart();
    expect((await client.fetch("DELETE", subscription(roots[1]))).status).toBe(200);
    expect(Object.keys(await next())).toEqual(["unsubscribed"]);
    const again = sectionOf(await phone.sync({ ...asking(), connId: "again" }));
    expect(again).toEqual(await native());

    // Page by page.
    const few = sectionOf(await phone.sync({ ...asking(1), connId: "few" }));
    const pages: Section[] = [few];
    for (let from = few.prev_batch; from !== undefined;) {
      // oxlint-disable-next-line no-await-in-loop -- as above
      const { body } = await client.fetch("GET", `${PAGES}?dir=b&limit=1&from=${from}`);
      pages.push(body as Section);
      from = (body as Section).end;
    }
    expect(pages).toHaveLength(3);
    const rootsOf = ({ subscribed = {}, unsubscribed = {} }: Section) =>
      [...Object.values(subscribed), ...Object.values(unsubscribed)].flatMap((threads) => Object.keys(threads as object));
    expect(new Set(pages.flatMap(rootsOf))).toEqual(new Set(rootsOf(again)));
  });
});
