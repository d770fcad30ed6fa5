/** A real Chromium: Debian's, installed where it is missing. */

import { type Browser, chromium } from "playwright-core";
import { isInstalled } from "./daemon.ts";

/** Nothing but what a test opens goes over the network. */
const QUIET = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** @throws where there is none, and none can be installed */
export async function startBrowser(): Promise<Browser> {
  if (!isInstalled("chromium")) throw new Error("Chromium is needed (Debian: apt-get install chromium)");
  return chromium.launch({ executablePath: "/usr/bin/chromium", args: QUIET });
}
