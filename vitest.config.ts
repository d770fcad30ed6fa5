import { defineConfig } from "vitest/config";

const EVERYWHERE = ["src", "test", "scripts", "bench"];
const files = (suffix: string) => EVERYWHERE.map((directory) => `${directory}/**/*${suffix}`);

/** Tests are named by what they need: `x.test.ts` nothing, `x.pg.test.ts` PostgreSQL, `x.e2e.test.ts` a real homeserver as well. */
export default defineConfig({
  test: {
    reporters: ["default"],
    projects: [
      {
        test: { name: "unit", include: files(".test.ts"), exclude: [...files(".pg.test.ts"), ...files(".e2e.test.ts")] },
      },
      {
        test: { name: "pg", include: files(".pg.test.ts"), globalSetup: "test/support/database-setup.ts", testTimeout: 20_000, hookTimeout: 60_000 },
      },
      {
        test: {
          name: "e2e",
          include: files(".e2e.test.ts"),
          globalSetup: ["test/support/database-setup.ts", "test/support/synapse-setup.ts"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
