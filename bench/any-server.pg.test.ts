import { expect, test } from "vitest";
import { freePort } from "../test/support/daemon.ts";
import { newRoom, v2 } from "../test/support/fake-homeserver.ts";
import { v3Server } from "../test/support/v3.ts";
import { anyServer } from "./any-server.ts";

const t = v3Server();

const quick = { rooms: 2, clients: [2], seconds: 1 };

test("each API that a server speaks, beside another server; those that it does not are named", async () => {
  const me = "@alice:test";
  const client = t.login(me, "PHONE", v2({ join: { "!a:test": { state: newRoom(me) }, "!b:test": { state: newRoom(me) } } }));
  await client.sync();
  // What v2 clients ask for passes to the homeserver.
  const server = { url: t.url, peer: t.url, token: client.token, ...quick };
  for (let i = 0; i < 6; i += 1) t.hs.queueSync(client.token, v2());
  const said: string[] = [];
  const rows = await anyServer(server, (line) => void said.push(line));
  expect(rows.map(({ work, unit, ours, peer }) => [work, unit, ours.length, peer?.figures.length])).toEqual([
    ["v2: first sync, lazy members", "ms", 3, 3],
    ...["simplified sliding sync", "/v4/sync", "sync v3"].flatMap((api) => [
      [`${api}: first answer, 2 rooms, warm`, "ms", 50, 50],
      [`${api}: first answer, 2 rooms, 2 at once`, "/s", 1, 1],
    ]),
  ]);
  expect(said).toContain(`MSC3575: not spoken by ${t.url}`);
});

test("a token that the server refuses, and a server that cannot be reached, end with an error that says so", async () => {
  const server = { url: t.url, token: "nonsense", ...quick };
  await expect(anyServer(server, () => undefined)).rejects.toThrow(/answers 401/);
  const nowhere = `http://127.0.0.1:${await freePort()}`;
  await expect(anyServer({ ...server, url: nowhere }, () => undefined)).rejects.toThrow(/ cannot be reached: .*ECONNREFUSED/);
});
