import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Follower } from "../support/follow.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";

const MESSAGES = 60;

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

type V2 = { next_batch: string; to_device?: { events: { content: { n: number } }[] } };

const VERSIONS = ["v3", "unstable"] as const;

it.each(VERSIONS)(
  "D1 T19: a v2 client (%s/sync) and a v3 session of one device each get every to-device message once, in order, and then none is kept",
  async (version) => {
    const alice = await users.registerUser(`readers-alice-${version}`);
    const bob = await users.registerUser(`readers-bob-${version}`);
    const session = new Follower(front.client(alice));
    await session.step({ to_device: {} });
    const v2 = alice.at(front.url);
    const byV2: number[] = [];
    const byV3: number[] = [];

    const sending = (async () => {
      for (let n = 0; n < MESSAGES; n++) await bob.sendToDevice("m.test", { [alice.userId]: { [alice.deviceId]: { n } } });
    })();
    let since = "";
    const readV2 = async (timeout: number): Promise<void> => {
      const answer = await v2.call<V2>(
        "GET",
        `/_matrix/client/${version}/sync?timeout=${timeout}&filter=${encodeURIComponent('{"room":{"rooms":[]}}')}${since}`,
      );
      const next = `&since=${encodeURIComponent(answer.next_batch)}`;
      // A homeserver that answers from its cache may give the `since` again: what came with that is told again with the next.
      if (next !== since) byV2.push(...(answer.to_device?.events ?? []).map(({ content }) => content.n));
      since = next;
    };
    const readingV2 = (async () => {
      while (byV2.length < MESSAGES) await readV2(3000);
      await readV2(0); // acknowledges the last
    })();
    const readingV3 = session.until((answer) => {
      byV3.push(...(answer["to_device"]?.events ?? []).map(({ content }: { content: { n: number } }) => content.n));
      return byV3.length >= MESSAGES;
    });
    await Promise.all([sending, readingV2, readingV3]);
    await session.step();

    const all = Array.from({ length: MESSAGES }, (_, n) => n);
    expect(byV2).toEqual(all);
    expect(byV3).toEqual(all);
    await expect.poll(() => database.sql`select count(*) as n from to_device`, { timeout: 10_000 }).toEqual([{ n: 0 }]);
  },
);

it("D2: a log-out that passes through ends the device here too", async () => {
  const carol = await users.registerUser("readers-carol");
  const client = front.client(carol);
  await client.sync({ to_device: {} });
  await carol.at(front.url).logout();
  expect(await database.sql`select from accounts where user_id = ${carol.userId}`).toHaveLength(0);
  expect(await client.request({})).toMatchObject({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } });
});

it("media of 20 MiB pass up and down unchanged", async () => {
  const dave = await users.registerUser("readers-dave");
  const bytes = Buffer.alloc(20 * 1024 * 1024, "media ");
  const headers = { authorization: `Bearer ${dave.accessToken}` };
  const upload = await fetch(`${front.url}/_matrix/media/v3/upload?filename=x`, {
    method: "POST",
    headers: { ...headers, "content-type": "application/octet-stream" },
    body: bytes,
  });
  const { content_uri } = (await upload.json()) as { content_uri: string };
  const download = await fetch(`${front.url}/_matrix/client/v1/media/download/${content_uri.slice("mxc://".length)}`, { headers });
  expect(Buffer.from(await download.arrayBuffer()).equals(bytes)).toBe(true);
});
