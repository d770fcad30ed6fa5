/** Devices that come and go, their keys, and what is sent to them. */

import type { Json } from "../support/synapse-api.ts";
import type { Operations } from "./operation.ts";
import type { Plan, Step } from "./plan.ts";
import type { World } from "./world.ts";

const ALGORITHM = "signed_curve25519";

function planDevice(kind: string) {
  return (plan: Plan): Step | null => {
    const at = plan.pick(plan.devices.filter(({ by }) => !plan.erased.has(by)));
    return at ? { kind, ...at, n: plan.int(1_000_000) } : null;
  };
}

/** `n` tells whether device keys, one-time keys or a fallback key: at least one-time keys. */
async function uploadKeys(world: World, step: Step): Promise<void> {
  const user = world.deviceOf(step);
  const [n, { userId, deviceId }] = [step.n ?? 0, user];
  const key = (i: number): Json => ({ key: `key ${n} ${i}`, signatures: { [userId]: { [`ed25519:${deviceId}`]: "signature" } } });
  const keys = Object.fromEntries(Array.from({ length: 1 + (n % 3) }, (_, i) => [`${ALGORITHM}:${n}${i}`, key(i)]));
  const device_keys = {
    user_id: userId,
    device_id: deviceId,
    algorithms: ["m.olm.v1.curve25519-aes-sha2"],
    keys: { [`ed25519:${deviceId}`]: `key ${n}` },
    signatures: { [userId]: { [`ed25519:${deviceId}`]: "signature" } },
  };
  await user.call("POST", "/keys/upload", {
    ...(n % 2 === 0 && { device_keys }),
    one_time_keys: keys,
    ...(n % 5 === 0 && { fallback_keys: { [`${ALGORITHM}:f${n}`]: { ...key(0), fallback: true } } }),
  });
}

async function claim(world: World, step: Step): Promise<void> {
  const { userId, deviceId } = world.deviceOf(step);
  await world.user({ ...step, by: step.whom ?? "alice" }).call("POST", "/keys/claim", { one_time_keys: { [userId]: { [deviceId]: ALGORITHM } } });
}

export const DEVICES: Operations = {
  "log in": {
    weight: 1,
    plan: (plan) => {
      if (plan.devices.length >= 7) return null;
      const by = plan.user();
      return { kind: "log in", by, device: plan.newDevice(by) };
    },
    play: (world, step) => world.logIn(step.by ?? "alice", step.device ?? ""),
  },
  "log out": {
    weight: 1,
    plan: (plan) => {
      const at = plan.pick(plan.devices.filter(({ device }) => device !== "PHONE"));
      if (!at) return null;
      plan.devices.splice(plan.devices.indexOf(at), 1);
      return { kind: "log out", ...at };
    },
    play: (world, step) => world.logOut(step.by ?? "alice", step.device ?? ""),
  },
  "upload keys": { weight: 3, plan: planDevice("upload keys"), play: uploadKeys },
  "claim a key": {
    weight: 2,
    plan: (plan) => {
      const step = planDevice("claim a key")(plan);
      return step && { ...step, whom: plan.user() };
    },
    play: claim,
  },
  "to device": {
    weight: 5,
    plan: (plan) => {
      const step = planDevice("to device")(plan);
      return step && { ...step, whom: plan.user() };
    },
    play: (world, step) => world.tellDevice(step, world.user({ ...step, by: step.whom ?? "alice" })),
  },
};
