/** `set_presence` of requests, as the homeserver is told of it. */

import { describe, expect, it } from "vitest";
import { scene } from "../support/scene.ts";
import { type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const NO_ROOMS: Ask = { ext: { to_device: { enabled: true } } };

describe.each(DIALECTS)("set_presence (%s)", (dialect) => {
  /** A user who has been seen, and is polled. */
  async function someone() {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(NO_ROOMS);
    await t.hs.waitForPoll(one.client.token);
    const shown = () => [...new Set(t.hs.polls(one.client.token).map((poll) => poll.query.get("set_presence")))];
    const shownAs = (presence: string) =>
      t.hs.waitForRequest({ path: /\/sync$/, token: one.client.token, where: (poll) => poll.query.get("set_presence") === presence });
    return { ...one, phone, pos, shown, shownAs };
  }

  it("M78: it is the one of the polls from now on", async () => {
    const { phone, pos, shown, shownAs, deliver } = await someone();
    expect(shown()).toEqual(["offline"]);
    await phone.sync({ ...ALL, more: { set_presence: "unavailable" } }, { pos });
    await shownAs("unavailable");
    await deliver({ timeline: [] });
    expect(shown()).toEqual(["offline", "unavailable"]);
  });

  it("M78: it is read from the query, too", async () => {
    const { phone, pos, shownAs } = await someone();
    const path = dialect === "v4" ? "/_matrix/client/v4/sync" : "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    const body = { conn_id: "test", lists: { all: { timeline_limit: 0, required_state: dialect === "v4" ? {} : [] } }, pos };
    expect((await phone.client.fetch("POST", `${path}?set_presence=unavailable`, JSON.stringify(body))).status).toBe(200);
    await shownAs("unavailable");
  });

  it(`M78: where it is not said, ${dialect === "v4" ? "the user is online" : "nothing changes"}`, async () => {
    const { phone, pos, shown, shownAs, deliver } = await someone();
    await phone.sync(ALL, { pos });
    if (dialect === "v4") await shownAs("online");
    await deliver({ timeline: [] });
    expect(shown()).toEqual(dialect === "v4" ? ["offline", "online"] : ["offline"]);
  });

  it("M79: a connection without a list or subscription, as those of push notifications, shows nobody; nor does a refused request", async () => {
    const { phone, room, pos, shown, shownAs, deliver } = await someone();
    const online = { more: { set_presence: "online" } };
    await phone.sync({ ...NO_ROOMS, ...online }, { pos });
    await phone.request({ ...ALL, ...online }, { pos: "syncv3_nonsense" });
    await deliver({ timeline: [] });
    expect(shown()).toEqual(["offline"]);
    await phone.sync({ ...NO_ROOMS, ...online, subs: { [room]: { limit: 1 } } }, { pos });
    await shownAs("online");
  });

  it("M78 M8: what it cannot be", async () => {
    const { phone, pos, shown, deliver } = await someone();
    const reply = await phone.request({ ...ALL, more: { set_presence: "busy" } }, { pos });
    // Native servers of the unstable dialect ignore it.
    if (dialect === "v4") expect([reply.status, reply.body]).toMatchObject([400, { errcode: "M_INVALID_PARAM" }]);
    else expect(reply.status).toBe(200);
    await deliver({ timeline: [] });
    expect(shown()).toEqual(["offline"]);
  });
});
