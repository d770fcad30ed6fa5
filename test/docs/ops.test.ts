/** ops/: what it asks of metrics is there, and Prometheus takes it. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { Metrics } from "../../src/base/metrics.ts";

const ROOT = join(import.meta.dirname, "../..");
const alerts = readFileSync(join(ROOT, "ops/alerts.yaml"), "utf8");
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

test("every metric in the alert rules is one that is told", async () => {
  const told = `${await new Metrics().text()} ${readFileSync(join(ROOT, "docs/OPERATIONS.md"), "utf8")}`;
  const asked = new Set(alerts.match(/\b(syncv3|nodejs)_[a-z0-9_]+/g));
  expect(asked.size).toBeGreaterThan(5);
  const unknown = [...asked].filter((name) => !told.includes(name.replace(/_(bucket|count|sum)$/, "")));
  expect(unknown).toEqual([]);
});

test.skipIf(!hasPromtool)("promtool takes the alert rules (skipped where it is not installed)", () => {
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "rules", join(ROOT, "ops/alerts.yaml")], { encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
});

test.skipIf(!hasSystemd)("systemd takes the unit (skipped where it is not installed)", () => {
  const { stdout, stderr } = spawnSync("systemd-analyze", ["verify", join(ROOT, "ops/syncv3.service")], { encoding: "utf8" });
  // Of other units of the machine it may say what it likes.
  expect(`${stdout}${stderr}`.split("\n").filter((line) => line.includes("syncv3"))).toEqual([]);
});
