/** ops/: what it asks of metrics is there, and Prometheus takes it. */

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { parse } from "yaml";
import { OPTION_TABLE } from "../../src/config/option-table.ts";
import { Metrics } from "../../src/base/metrics.ts";

const ROOT = join(import.meta.dirname, "../..");
const alerts = readFileSync(join(ROOT, "ops/alerts.yaml"), "utf8");
const dashboard = readFileSync(join(ROOT, "ops/grafana.json"), "utf8");
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;
const hasSystemd = spawnSync("systemd-analyze", ["--version"]).status === 0;

test.each(Object.entries({ alerts, dashboard }))("every metric in the %s exists, or is in docs/OPERATIONS.md", async (_, text) => {
  const told = `${await new Metrics().text()} ${readFileSync(join(ROOT, "docs/OPERATIONS.md"), "utf8")}`;
  const asked = new Set(text.match(/\b(syncv3|nodejs)_[a-z0-9_]+/g));
  expect(asked.size).toBeGreaterThan(5);
  const unknown = [...asked].filter((name) => !told.includes(name.replace(/_(bucket|count|sum)$/, "")));
  expect(unknown).toEqual([]);
});

test.skipIf(!hasPromtool)("promtool takes the alert rules (skipped where it is not installed)", () => {
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "rules", join(ROOT, "ops/alerts.yaml")], { encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
});

type Panel = { readonly id: number; readonly title: string; readonly targets?: readonly { readonly expr: string }[] };
const { panels } = JSON.parse(dashboard) as { readonly panels: readonly Panel[] };
const expressions = panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [title, expr] as const));

test("the dashboard asks something in each panel, and numbers them", () => {
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  expect(expressions.length).toBeGreaterThan(15);
});

test.skipIf(!hasPromtool)("promtool takes what the dashboard asks (skipped where it is not installed)", async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-promtool-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const rules = expressions.map(([, expr], i) => ({ record: `dashboard:${i}`, expr: expr.replaceAll("$__rate_interval", "5m") }));
  await writeFile(join(directory, "rules.json"), JSON.stringify({ groups: [{ name: "dashboard", rules }] }));
  const { status, stdout, stderr } = spawnSync("promtool", ["check", "rules", join(directory, "rules.json")], { encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
});

test.skipIf(!hasSystemd)("systemd takes the unit (skipped where it is not installed)", () => {
  const { stdout, stderr } = spawnSync("systemd-analyze", ["verify", join(ROOT, "ops/syncv3.service")], { encoding: "utf8" });
  // Of other units of the machine it may say what it likes.
  expect(`${stdout}${stderr}`.split("\n").filter((line) => line.includes("syncv3"))).toEqual([]);
});

test("every option of the file to begin with is one, also those that are commented out", () => {
  const text = readFileSync(join(ROOT, "ops/syncv3.yaml"), "utf8").replaceAll(/^#(?=[a-z-]+: )/gm, "");
  const options = parse(text) as Record<string, unknown>;
  expect(Object.keys(options).length).toBeGreaterThan(5);
  expect(Object.keys(options).filter((name) => !OPTION_TABLE.some(({ flag }) => flag === name))).toEqual([]);
});

test("the image and its composition: a user of their own, a root that is read-only, variables that are options", () => {
  const dockerfile = readFileSync(join(ROOT, "ops/Dockerfile"), "utf8");
  const compose = readFileSync(join(ROOT, "ops/compose.yaml"), "utf8");
  const { services } = parse(compose) as { services: Record<string, { read_only?: boolean; environment: Record<string, string> }> };
  expect(services["syncv3"]).toMatchObject({ read_only: true, cap_drop: ["ALL"] });
  expect(dockerfile).toMatch(/^USER node$[^]*^HEALTHCHECK /m);
  const variables = new Set(`${dockerfile}${compose}`.match(/\bSYNCV3_[A-Z_]+/g));
  expect([...variables].filter((name) => !OPTION_TABLE.some(({ variable }) => variable === name))).toEqual([]);
});
