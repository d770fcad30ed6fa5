/** A quiet point: everything is compared until it is the same, or time is up. */

import { setTimeout as delay } from "node:timers/promises";
import { intentionOf, type IntendedDifference } from "../support/tree-difference.ts";
import { compareDevice, type Found } from "./compare.ts";
import { INTENDED } from "./intended.ts";
import type { Device, World } from "./world.ts";
import type { Loose } from "../support/view.ts";

/** Between one look and the next, ms: what must be asked of the homeserver has that long. */
const PATIENCE = [300, 700, 1500, 3000, 5000];

/** How long a change of device lists may come after what came last by other ways, ms. */
const LISTS_MS = 5000;

/** What v2 says nothing of, so that it must be asked (T1). */
const UNTOLD = ["deleted", "forgotten", "restored"];

/** How often each row was met. */
export type Met = Map<IntendedDifference, number>;

/** What differs and is not meant to. */
export async function check(world: World, met: Met): Promise<Found[]> {
  const late = (await world.settle()).map((words) => ({ path: ["late"], native: undefined, ours: words, whose: "", traits: [], words }));
  if (late.length > 0) return late;
  const lists = await deviceListDifferences(world);
  let devices = [...world.devices];
  let left: Found[] = [];
  for (const patience of [...PATIENCE, 0]) {
    if (left.some(({ traits }) => traits.some((trait) => UNTOLD.includes(trait)))) await world.server.checkRooms();
    left = [];
    const troubled: Device[] = [];
    for (const device of devices) {
      const bad = (await compareDevice(world, device)).filter((one) => !isMeant(one, met));
      if (bad.length > 0) troubled.push(device);
      left.push(...bad);
    }
    devices = troubled;
    if (left.length === 0) break;
    await delay(patience);
  }
  return [...lists, ...left];
}

function isMeant(difference: Found, met: Met): boolean {
  for (const topic of [undefined, ...difference.traits]) {
    const row = intentionOf({ ...difference, topic }, INTENDED);
    if (!row) continue;
    met.set(row, (met.get(row) ?? 0) + 1);
    return true;
  }
  return false;
}

/** T10: whose devices a v2 client was told to have changed, each client of ours was told too. It may be told of more. */
async function deviceListDifferences(world: World): Promise<Found[]> {
  const all: Found[] = [];
  for (const [by, witness] of world.witnesses) {
    if (world.erased.has(by)) continue;
    const since = world.since.get(by);
    const answer = await witness.call<Loose>("GET", `/sync?timeout=0${since === undefined ? "" : `&since=${since}`}`);
    world.since.set(by, answer["next_batch"] as string);
    const changed: string[] = since === undefined ? [] : (answer["device_lists"]?.changed ?? []);
    for (const { user, live } of world.devices.filter((one) => one.by === by)) {
      for (const one of live) {
        const missing = () => (one.isOutdated ? [] : changed.filter((id) => !one.changed.has(id)));
        await world.until(() => missing().length === 0, "device lists", LISTS_MS).catch(() => {});
        const whose = `${by} ${user.deviceId}`;
        const words = world.inNames(`${whose}: ${one.face} was not told that devices of ${missing().join(", ")} changed`);
        const path = [one.face, "live", "device_lists"];
        if (missing().length > 0) all.push({ path, native: changed, ours: [], whose, traits: [], words });
        one.changed.clear();
        one.isOutdated = false;
      }
    }
  }
  return all;
}
