import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

const EVERYWHERE = ["src", "test", "packages", "scripts", "bench"];
/** Of all of test/sliding and test/v3, which pass with several servers too (`SYNCV3_TEST_WORKERS=4 npm test -- --project pg`), those that go through the most. */
const BETWEEN_WORKERS = [
  "test/sliding/{early-rooms,first-contact,positions,to-device,waiting}.pg.test.ts",
  "test/v3/{atomicity,restarts,sessions,to-device,waiting}.pg.test.ts",
];
const files = (suffix: string) => EVERYWHERE.map((directory) => `${directory}/**/*${suffix}`);

const SETUP = "test/support/property-seed.ts";

/** Tests are named by what they need: `x.test.ts` nothing, `x.pg.test.ts` PostgreSQL, `x.e2e.test.ts` a real homeserver as well. */
export default defineConfig({
  test: {
    reporters: ["default"],
    // Tests wait for other processes half of the time.
    maxWorkers: availableParallelism() + 1,
    // What is waited for comes; how soon is no test's business. Time-outs are for what hangs: a machine with other work takes six times as long.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      {
        test: {
          name: "unit",
          setupFiles: SETUP,
          include: files(".test.ts"),
          exclude: [...files(".pg.test.ts"), ...files(".e2e.test.ts")],
          testTimeout: 240_000,
          hookTimeout: 240_000,
        },
      },
      {
        test: {
          name: "pg",
          setupFiles: SETUP,
          include: files(".pg.test.ts"),
          globalSetup: "test/support/database-setup.ts",
          testTimeout: 240_000,
          hookTimeout: 400_000,
        },
      },
      {
        test: {
          name: "workers",
          setupFiles: SETUP,
          include: BETWEEN_WORKERS,
          env: { SYNCV3_TEST_WORKERS: "4" },
          globalSetup: "test/support/database-setup.ts",
          testTimeout: 240_000,
          hookTimeout: 400_000,
        },
      },
      {
        test: {
          name: "e2e",
          setupFiles: SETUP,
          include: files(".e2e.test.ts"),
          globalSetup: ["test/support/database-setup.ts", "test/support/synapse-setup.ts"],
          testTimeout: 400_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
});
