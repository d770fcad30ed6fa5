/** `npm run clients` on Synapse, with the clients that need no compiler. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { js } from "../clients/js-kind.ts";
import { nio } from "../clients/pipe-kinds.ts";
import { resultTable, runScenario, type ScenarioResult } from "../clients/scenario.ts";
import { runCommand } from "../support/command.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";

const SCRIPT = "test/clients/clients.ts";

describe("M102: real clients do through this server what users do first", () => {
  const { url: homeserver } = sharedSynapse();
  let database: TestDatabase;
  let result: ScenarioResult;

  beforeAll(async () => {
    database = await freshDatabase();
    result = await runScenario({ homeserver, kinds: [js, nio], db: database.options, say: (line) => process.stderr.write(`${line}\n`) });
  });
  afterAll(() => database.drop());

  it.each(["matrix-js-sdk", "matrix-nio"])("M102: %s", (name) => {
    const kind = result.kinds.find((each) => each.kind === name);
    expect(kind?.lack, name).toBeNull();
    expect(kind?.steps.filter(({ failure }) => failure !== null)).toEqual([]);
    expect(kind?.steps).toHaveLength(8);
  });

  it("M102: the table has a line for each step and a column for each client", () => {
    const lines = resultTable(result).split("\n");
    expect(lines[0]).toMatch(/matrix-js-sdk +matrix-nio$/);
    expect(lines[1]).toMatch(/^logs in and lists a room +ok \d+\.\d s +ok \d+\.\d s$/);
  });
});

describe("M102: npm run clients", () => {
  it.each([
    [["--help"], 0, /npm run clients -- --homeserver URL/],
    [[], 2, /--homeserver is missing/],
    [["--homeserver", "http://127.0.0.1:1", "--only", "pidgin"], 2, /there is no client pidgin/],
  ])("M102: %j ends with %i and says why", async (args, code, words) => {
    const ended = await runCommand(args, {}, SCRIPT).ended;
    expect(ended.code).toBe(code);
    expect(ended.stdout + ended.stderr).toMatch(words);
  });
});

describe("M102: the table of a run in which not all went well", () => {
  it("M102: names what failed, what was not run and why, and what the homeserver does not know", () => {
    const table = resultTable({
      kinds: [
        { kind: "one", lack: null, steps: [{ step: "logs in and lists a room", ms: 1200, failure: "it shows nothing" }] },
        { kind: "other", lack: "there is no cargo on the PATH", steps: [] },
      ],
      unrecognized: ["GET /_matrix/client/v1/x"],
    });
    expect(table).toContain("FAILED");
    expect(table).toMatch(/^sends and receives +-$/m);
    expect(table).toContain("other was not run: there is no cargo on the PATH");
    expect(table).toMatch(/does not know:\n {2}GET \/_matrix\/client\/v1\/x$/);
  });
});
