/** docs/OPERATIONS.md, "Restoring an older backup", followed with the command and an embedded database. */

import { spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { ev, newRoom, startFakeHomeserver, toDevice, v2 } from "../../test/support/fake-homeserver.ts";
import { SlidingClient, timelineIds } from "../../test/support/sliding.ts";
import { V3Client } from "../../test/support/v3.ts";

const [ME, ROOM] = ["@restored:test", "!restored:test"];

test(
  "D26 R11: clients start from scratch, polling continues from the old since, what came since is sent again, and no later message is lost",
  { timeout: 120_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "syncv3-restore-"));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const [data, backup] = [join(directory, "data"), join(directory, "backup")];
    const homeserver = await startFakeHomeserver();
    onTestFinished(() => homeserver.stop());
    const token = homeserver.login(ME, "PHONE");
    let url = "";
    const serve = async () => {
      const command = runCommand(["-server", homeserver.url, "-data", data, "-port", "127.0.0.1:0"]);
      onTestFinished(() => command.signal("SIGKILL"));
      url = (await command.line(/listening/)).trim().split(/ +/)[1] ?? "";
      return async () => {
        command.signal("SIGTERM");
        expect((await command.ended).code).toBe(0);
      };
    };
    const copy = (from: string, to: string) => expect(spawnSync("cp", ["-a", from, to]).status).toBe(0);
    const client = new V3Client(() => url, ME, "PHONE", token);
    const sliding = new SlidingClient(client, "v4");
    const ask = { subs: { [ROOM]: { limit: 20 } }, ext: { to_device: { enabled: true } } };
    const message = (n: number) =>
      v2({ join: { [ROOM]: { timeline: [ev.message("@bob:test", `event ${n}`)] } }, to_device: [toDevice("@bob:test", { n })] });
    const numbersOf = (events: readonly { content: { n: number } }[]) => events.map(({ content }) => content.n);

    homeserver.queueSync(token, v2({ join: { [ROOM]: { state: newRoom(ME) } } }));
    let stop = await serve();
    await client.sync({ to_device: {} });
    await homeserver.waitForPoll(token);
    homeserver.queueSync(token, message(1));
    await homeserver.waitForPoll(token);
    await stop();
    copy(data, backup);

    // The server continues, and both clients receive everything that arrives.
    stop = await serve();
    const session = await client.sync({ to_device: {}, room: { room_id: ROOM } });
    const connection = await sliding.sync(ask);
    await homeserver.waitForPoll(token);
    for (const n of [2, 3, 4]) homeserver.queueSync(token, message(n));
    await homeserver.waitForPoll(token);
    const later = await client.sync({}, { since: session.next });
    expect(numbersOf(later["to_device"].events)).toEqual([2, 3, 4]);
    const place = (
      await sliding.sync(
        { ...ask, ext: { to_device: { enabled: true, since: connection.extensions["to_device"].next_batch } } },
        { pos: connection.pos },
      )
    ).extensions["to_device"].next_batch as string;
    await stop();

    // Back in time. Something else follows the old since now.
    await rm(data, { recursive: true });
    copy(backup, data);
    const ended = await runCommand(["end-sessions", "-data", data]).ended;
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining("Ended 1 session or connection.") });
    // The homeserver has deleted the messages that it sent after the old since.
    homeserver.fail({ path: /\/sync$/, token, where: ({ query }) => query.get("since") === "s2" }, { body: { next_batch: "s5" } });
    stop = await serve();
    await homeserver.waitForPoll(token);
    // More messages than the clients' positions in the queue cover.
    for (const n of [5, 6, 7, 8, 9]) homeserver.queueSync(token, message(n));
    await homeserver.waitForPoll(token);
    expect(await client.request({}, { since: later.next })).toMatchObject({ status: 400, body: { errcode: "M_UNKNOWN_SYNC_SESSION" } });
    expect(await sliding.request(ask, { pos: connection.pos })).toMatchObject({ status: 400, body: { errcode: "M_UNKNOWN_POS" } });
    // A connection that starts from scratch names its old position in the queue. That acknowledges nothing that arrived since.
    const anew = await sliding.sync({ ...ask, ext: { to_device: { enabled: true, since: place } } });
    expect(numbersOf(anew.extensions["to_device"].events)).toEqual(expect.arrayContaining([5, 6, 7, 8, 9]));
    expect(timelineIds(anew.rooms[ROOM])).toHaveLength(6);
    const begun = await client.sync({ to_device: {}, room: { room_id: ROOM } });
    expect(numbersOf(begun["to_device"].events)).toEqual(expect.arrayContaining([5, 6, 7, 8, 9]));
    await stop();
  },
);
