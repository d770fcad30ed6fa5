/** `-workers N`: one address, several processes, and what happens when one of them dies. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { runCommand, type RunningCommand } from "../../test/support/command.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, type FakeHomeserver, newRoom, startFakeHomeserver, v2 } from "../../test/support/fake-homeserver.ts";

vi.setConfig({ testTimeout: 60_000 });

const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const ROOM = "!room:test";

let database: TestDatabase;
let homeserver: FakeHomeserver;
let directory = "";
beforeEach(async () => {
  database = await freshDatabase(true);
  homeserver = await startFakeHomeserver();
  directory = await mkdtemp(join(tmpdir(), "syncv3-workers-"));
});
afterEach(async () => {
  await homeserver.stop();
  await database.drop();
  await rm(directory, { recursive: true, force: true });
});

function run(port: string, workers: string): RunningCommand {
  const args = ["-server", homeserver.url, "-db", database.dsn, "-data", join(directory, "data"), "-port", port, "-workers", workers];
  const command = runCommand(args, { XDG_DATA_HOME: directory });
  onTestFinished(() => command.signal("SIGKILL"));
  return command;
}

const urlOf = async (command: RunningCommand) => (await command.line(/listening/)).trim().split(/ +/)[1] ?? "";
const childrenOf = async (pid: number) => (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").filter(Boolean).map(Number);

/** Alice has a room, and her client has received it. */
async function alice(url: string) {
  const token = homeserver.login("@alice:test");
  homeserver.queueSync(token, v2({ join: { [ROOM]: { state: newRoom("@alice:test"), timeline: [ev.message("@bob:test")] } } }));
  const ask = async (pos?: string): Promise<{ pos: string; rooms: Record<string, { timeline?: { event_id: string }[] }> }> => {
    const query = pos === undefined ? "timeout=0" : `timeout=30000&pos=${encodeURIComponent(pos)}`;
    const body = JSON.stringify({ conn_id: "main", lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } } });
    // A separate connection, so that any worker may get the request.
    const response = await fetch(`${url}${PATH}?${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, connection: "close" },
      body,
    });
    expect(response.status).toBe(200);
    return (await response.json()) as Awaited<ReturnType<typeof ask>>;
  };
  return { token, ask, first: await ask() };
}

test("any worker answers any request, and all stop cleanly", async () => {
  const command = run("127.0.0.1:0", "3");
  const url = await urlOf(command);
  expect(command.output()).toContain("(3 processes)");
  const workers = await childrenOf(command.pid);
  expect(workers).toHaveLength(3);
  const { ask, first } = await alice(url);
  let { pos } = first;
  for (let i = 0; i < 6; i += 1) {
    const event = ev.message("@bob:test");
    const [token] = [...homeserver.seen({ path: /\/sync$/ })].map((request) => request.token ?? "");
    await homeserver.waitForPoll(token ?? "");
    homeserver.queueSync(token ?? "", v2({ join: { [ROOM]: { timeline: [event] } } }));
    const answer = await ask(pos);
    expect(answer.rooms[ROOM]?.timeline?.map((one) => one.event_id)).toEqual([event.event_id]);
    ({ pos } = answer);
  }
  command.signal("SIGTERM");
  expect((await command.ended).code).toBe(0);
  for (const pid of workers) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
});

test("a worker that is killed is replaced, and another one takes over its polling: nothing is lost", async () => {
  const command = run("127.0.0.1:0", "2");
  const url = await urlOf(command);
  const { token, ask, first } = await alice(url);
  let { pos } = first;
  // Each of them once, because one of them polls.
  for (const [killed, pid] of (await childrenOf(command.pid)).entries()) {
    await homeserver.waitForPoll(token);
    process.kill(pid, "SIGKILL");
    const event = ev.message("@bob:test");
    homeserver.queueSync(token, v2({ join: { [ROOM]: { timeline: [event] } } }));
    const answer = await untilAnswered(() => ask(pos));
    expect(answer.rooms[ROOM]?.timeline?.map((one) => one.event_id)).toEqual([event.event_id]);
    ({ pos } = answer);
    await vi.waitUntil(() => command.log().split("Server listening").length - 1 === 2 + killed + 1, { timeout: 20_000 });
  }
  command.signal("SIGTERM");
  const { code, stderr, stdout } = await command.ended;
  expect(code).toBe(0);
  expect((stdout + stderr).split("\n").filter((line) => line.includes("A worker has ended"))).toHaveLength(2);
});

/** The requests of a worker that dies break with it. */
async function untilAnswered<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
    }
  }
}

test("a port that is in use is reported as with one process", async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void taken.close());
  const { port } = taken.address() as AddressInfo;
  const { code, stderr } = await run(`127.0.0.1:${port}`, "2").ended;
  expect(code).toBe(1);
  expect(stderr).toContain("Give another address, e.g. -port :8009");
});

test.each(["0", "65", "two", ""])("-workers %j is refused", async (workers) => {
  const { code, stderr } = await run("127.0.0.1:0", workers).ended;
  expect(code).toBe(2);
  expect(stderr).toContain("-workers");
});
