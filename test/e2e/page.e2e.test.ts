/** The page, in a real browser, in front of a real homeserver. Screenshots: .cache/screenshots. */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { buildPageOnce } from "../../scripts/install.mjs";
import { readPage } from "../../src/server/page-server.ts";
import { scriptedAccount } from "../../bench/scripted-account.ts";
import { startBrowser } from "../support/browser.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { v2 } from "../support/fake-homeserver.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { passwordOf, type TestUser } from "../support/synapse-api.ts";
import { startV3 } from "../support/v3.ts";

const ROOT = join(import.meta.dirname, "../..");
const SCREENSHOTS = join(ROOT, ".cache/screenshots");
const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
let browser: Browser;
let url = "";
let bob: TestUser;

beforeAll(async () => {
  buildPageOnce();
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
  url = await front.showPage(await readPage(join(ROOT, "dist/page")));
  browser = await startBrowser();
  bob = await users.registerUser("page-bob");
  await mkdir(SCREENSHOTS, { recursive: true });
}, 300_000);
afterAll(async () => {
  await browser.close();
  await front.stop();
  await database.drop();
});

/** A browser window; at the test's end everything went to the page's own server, and nothing was complained about. */
async function open(
  options: Parameters<Browser["newContext"]>[0] = {},
  at = url,
): Promise<{ readonly page: Page; readonly context: BrowserContext }> {
  const context = await browser.newContext({ viewport: { width: 1100, height: 700 }, ...options });
  const page = await context.newPage();
  const elsewhere: string[] = [];
  const complaints: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL("/", at).href) && !request.url().startsWith("data:")) elsewhere.push(request.url());
  });
  page.on("console", (message) => {
    // The browser itself says so of every answer that is not 2xx.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
  });
  page.on("pageerror", (error) => void complaints.push(error.message));
  onTestFinished(async () => {
    await context.close();
    expect({ elsewhere, complaints }).toEqual({ elsewhere: [], complaints: [] });
  });
  page.setDefaultTimeout(60_000);
  await page.goto(at);
  return { page, context };
}

async function signIn(name: string, options: Parameters<Browser["newContext"]>[0] = {}): Promise<Page> {
  const { page } = await open(options);
  await page.getByLabel("User").fill(name);
  await page.getByLabel("Password").fill(passwordOf(name));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("listbox").waitFor();
  return page;
}

const room = (page: Page, name: string) => page.getByRole("option").filter({ hasText: name });
const through = (page: Page, protocol: string) => page.getByLabel("API").selectOption(protocol);
const message = (page: Page, text: string) => page.getByLabel("Timeline").getByText(text, { exact: true });
const screenshot = (page: Page, name: string) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });

test("a wrong password shows an error, a right one signs in, and signing out ends the device", async () => {
  const alice = await users.registerUser("page-out");
  const { page } = await open();
  await page.getByLabel("User").fill("page-out");
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await expect.poll(() => page.getByRole("alert").textContent()).toMatch(/Invalid username or password/);
  await screenshot(page, "sign-in");
  await page.getByLabel("Password").fill(passwordOf("page-out"));
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("No rooms").waitFor();
  const devices = async () =>
    (await alice.call<{ devices: { display_name?: string }[] }>("GET", "/devices")).devices.map((device) => device.display_name);
  expect(await devices()).toContain("syncv3 page");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("User").waitFor();
  expect(await devices()).not.toContain("syncv3 page");
});

test("signing in with an access token, which is not stored; a revoked token signs out", async () => {
  const alice = await users.registerUser("page-token");
  const { page } = await open();
  await page.getByLabel("Token").fill(alice.accessToken);
  await page.getByRole("button", { name: "Use token" }).click();
  await page.getByText("No rooms").waitFor();
  expect(await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]")).toEqual([0, 0, ""]);
  await alice.logout();
  await front.client(alice).request();
  await page.getByLabel("Token").waitFor();
});

test.each(["v3", "simplified", "v4"])(
  "%s: list, open, send and receive, typing, receipts, badges, invites",
  { timeout: 120_000 },
  async (protocol) => {
    const name = `page-alice-${protocol}`;
    const alice = await users.registerUser(name);
    const dark = protocol === "v4" ? ({ colorScheme: "dark" } as const) : {};
    const roomId = await alice.createRoom({ preset: "public_chat", name: `Garden ${protocol}`, topic: "of many" });
    await alice.createRoom({ name: "Quiet room" });
    await bob.join(roomId);
    await bob.send(roomId, "Good morning");
    const page = await signIn(name, dark);
    await through(page, protocol);
    await room(page, "Quiet room").waitFor();
    await expect.poll(() => room(page, `Garden ${protocol}`).textContent()).toContain("Good morning");
    await bob.send(roomId, "Has it rained?");
    if (protocol !== "v4") await room(page, `Garden ${protocol}`).locator(".badge").waitFor();
    await room(page, `Garden ${protocol}`).click();
    await message(page, "Has it rained?").waitFor();
    await room(page, `Garden ${protocol}`).locator(".badge").waitFor({ state: "detached" });

    // Between two windows.
    const other = await signIn("page-bob");
    await through(other, protocol);
    await room(other, `Garden ${protocol}`).click();
    await page.getByLabel("Message").pressSequentially("All ni");
    await other.getByText(`${name} typing …`).waitFor();
    await page.getByLabel("Message").fill("All night");
    await page.getByLabel("Message").press("Enter");
    await message(other, "All night").waitFor();
    await message(page, "All night").waitFor();
    await page.getByText("read by page-bob").waitFor();
    expect(await message(page, "All night").count()).toBe(1);

    const invited = await bob.createRoom({ name: `Party ${protocol}`, invite: [alice.userId] });
    const refused = await bob.createRoom({ name: `Meeting ${protocol}`, invite: [alice.userId] });
    const invite = (named: string) => page.getByLabel("Invites").getByRole("listitem").filter({ hasText: named });
    await invite(`Party ${protocol}`).getByRole("button", { name: "Accept" }).click();
    await invite(`Meeting ${protocol}`).getByRole("button", { name: "Decline" }).click();
    await room(page, `Party ${protocol}`).waitFor();
    await page.getByLabel("Invites").waitFor({ state: "detached" });
    expect(await room(page, `Meeting ${protocol}`).count()).toBe(0);
    await expect.poll(() => page.getByRole("listbox").getAttribute("aria-label")).toBe("3 rooms");
    const membership = async (of: string) =>
      (await bob.call<{ membership: string }>("GET", `/rooms/${of}/state/m.room.member/${alice.userId}`)).membership;
    expect([await membership(invited), await membership(refused)]).toEqual(["join", "leave"]);
    await screenshot(page, `client-${protocol}`);
  },
);

test("a long list by keyboard, members page by page, earlier messages, through each API the same", { timeout: 180_000 }, async () => {
  const alice = await users.registerUser("page-many");
  // More than the page draws at once.
  const rooms = 45;
  for (let i = 0; i < rooms; i += 1) await alice.createRoom({ name: `Room ${i}` });
  const crowd = await alice.createRoom({ preset: "public_chat", name: "The crowd" });
  const puppets = await Promise.all(Array.from({ length: 60 }, (_, i) => users.registerPuppet(`puppet-page-${i}`)));
  await Promise.all(puppets.map((puppet) => puppet.join(crowd)));
  for (let i = 0; i < 45; i += 1) await alice.send(crowd, `message ${i}`);
  const page = await signIn("page-many");
  for (const protocol of ["v3", "simplified", "v4"]) {
    await through(page, protocol);
    await room(page, "The crowd").waitFor();
    expect(await page.getByRole("listbox").getAttribute("aria-label")).toBe(`${rooms + 1} rooms`);
    // Those in sight alone are there.
    expect(await page.getByRole("option").count()).toBeLessThan(40);
    await page.getByRole("listbox").focus();
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter");
    await message(page, "message 44").waitFor();
    expect(await message(page, "message 1").count()).toBe(0);
    await page.getByRole("button", { name: "Earlier" }).click();
    await message(page, "message 1").waitFor();
    await page.getByRole("button", { name: /^Members/ }).click();
    const members = page.getByLabel("Members", { exact: true }).getByRole("listitem");
    await expect.poll(() => members.count()).toBe(50);
    await page.getByRole("button", { name: "More members" }).click();
    await expect.poll(() => members.count()).toBe(61);
    await page.getByRole("listbox").focus();
    await expect
      .poll(
        async () => {
          await page.keyboard.press("End");
          return room(page, "Room 0").count();
        },
        { timeout: 20_000 },
      )
      .toBe(1);
    await page.getByRole("listbox").evaluate((element) => (element.scrollTop = 0));
    await page.getByRole("button", { name: /^Members/ }).click();
  }
  await page.setViewportSize({ width: 380, height: 700 });
  await page.getByRole("button", { name: "Back to the rooms" }).click();
  expect(await page.getByRole("listbox").isVisible()).toBe(true);
  expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(380);
  await screenshot(page, "narrow");
});

test("thousands of rooms: only the visible ones are drawn, the others when scrolled to", { timeout: 120_000 }, async () => {
  const many = await startV3({ workers: 1 });
  onTestFinished(() => many.stop());
  const { userId, first, rooms } = scriptedAccount("@page-thousands:bench", 1200);
  const client = many.login(userId, "PHONE", v2(first));
  await client.sync();
  const { page } = await open({}, await many.showPage(await readPage(join(ROOT, "dist/page"))));
  await page.getByLabel("Token").fill(client.token);
  await page.getByRole("button", { name: "Use token" }).click();
  for (const protocol of ["v3", "v4"]) {
    await through(page, protocol);
    await page.locator("[data-room]").first().waitFor();
    const list = page.getByRole("listbox");
    expect(await list.getAttribute("aria-label")).toBe(`${rooms.length} rooms`);
    await list.focus();
    let [most, presses] = [0, 0];
    for (let last = ""; last !== `room-${rooms.length - 1}`; presses += 1) {
      await page.keyboard.press("End");
      last = (await list.getAttribute("aria-activedescendant")) ?? "";
      most = Math.max(most, await page.locator(".row").count());
      expect(presses).toBeLessThan(2000);
    }
    await page.locator(`#room-${rooms.length - 1}`).waitFor();
    expect(most).toBeLessThan(50);
  }
});

test("the inspector: what went, what was sticky, what woke, by hand, beside v2; sessions", { timeout: 120_000 }, async () => {
  const alice = await users.registerUser("page-inspector");
  const roomId = await alice.createRoom({ preset: "public_chat", name: "Watched" });
  await bob.join(roomId);
  const page = await signIn("page-inspector");
  await room(page, "Watched").waitFor();
  await page.getByRole("button", { name: "Inspector" }).click();
  await bob.typing(roomId, true);
  const requests = page.getByLabel("Requests").getByRole("button");
  // The poll that waits, and before it the one that typing woke.
  await expect
    .poll(async () => {
      await requests.nth(1).click();
      return page.locator("[data-woken]").textContent();
    })
    .toBe("typing");
  expect(JSON.parse((await page.locator("[data-request]").textContent()) ?? "")).toEqual({});
  expect(JSON.parse((await page.locator("[data-sticky]").textContent()) ?? "")).toMatchObject({
    room_list: { timeline_limit: 1 },
    typing: { room_id: "room_list" },
  });
  expect(JSON.parse((await page.locator("[data-answer]").textContent()) ?? "")).toMatchObject({
    typing: { events: [{ content: { user_ids: [bob.userId] } }] },
  });
  await screenshot(page, "inspector");
  await page.getByRole("button", { name: "Copy as curl" }).click();
  await page.getByLabel("Request and answer").getByRole("status").waitFor();
  expect(await page.content()).not.toContain(alice.accessToken);

  const byHand = page.getByLabel("Send your own request");
  await byHand.getByText("Sync v3: what is new").click();
  await byHand.getByText("room_name_like").waitFor();
  await byHand.getByLabel("Body").fill('{"room_list": {"p": {"limit": 1}, "sorted": 1}, "to_device": {}}');
  await byHand.getByText("Unknown fields, which the server ignores: room_list.sorted").waitFor();
  await byHand.getByRole("button", { name: "Send" }).click();
  await expect.poll(async () => (await page.locator("[data-answer]").textContent()) ?? "").toContain('"to_device"');

  await page.getByRole("button", { name: "Measure" }).click();
  for (const way of ["v2", "Sync v3", "Simplified sliding sync", "/v4/sync"]) {
    await expect.poll(() => page.locator(`[data-way="${way}"]`).textContent(), { timeout: 30_000 }).toMatch(/\d+ ms/);
  }
  await page.getByRole("button", { name: "Measure", disabled: false }).waitFor();

  await page.getByRole("button", { name: "Sessions", exact: true }).click();
  const sessions = page.locator("[data-session]");
  await expect.poll(() => sessions.count()).toBeGreaterThanOrEqual(2);
  const before = await sessions.count();
  const asked = sessions.filter({ hasText: "v3" }).last();
  const id = await asked.getAttribute("data-session");
  await asked.getByRole("button", { name: "End" }).click();
  await expect.poll(() => page.locator(`[data-session="${id}"]`).count()).toBe(0);
  expect(await sessions.count()).toBe(before - 1);
  await screenshot(page, "sessions");
});

test("its origin has the page, the API without media, and nothing else", async () => {
  const at = async (path: string, init: RequestInit = {}) => fetch(new URL(path, url), { redirect: "manual", ...init });
  expect((await at("/")).headers.get("location")).toBe("/client/");
  const index = await at("/client/");
  expect(index.status).toBe(200);
  expect(index.headers.get("content-security-policy")).toContain("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'");
  expect(index.headers.get("content-security-policy")).not.toContain("unsafe");
  const [, script = ""] = /src="([^"]+\.js)"/.exec(await index.text()) ?? [];
  expect((await at(script)).headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  expect((await at("/client/", { method: "POST" })).status).toBe(405);
  expect((await at("/_matrix/client/versions")).status).toBe(200);
  expect((await at("/openapi.json")).status).toBe(200);
  for (const path of [
    "/client/../package.json",
    "/client/%2e%2e/package.json",
    "/client/nothing.js",
    "/_matrix/media/v3/download/a/b",
    "/_matrix/client/v1/media/download/a/b",
    "/_matrix/client/v1/%6dedia/download/a/b",
    "/_matrix/client/v1/x/%2e%2e/media/download/a/b",
    "/_matrix/client//v1/media/download/a/b",
    "/_synapse/admin/v1/users",
    "/health/ready",
  ]) {
    expect((await at(path)).status, path).toBe(404);
  }
  // Where clients are, it is not.
  expect((await fetch(`${front.url}/client/`)).status).toBe(404);
});
