import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import type { DeviceNo } from "../wire/ids.ts";
import { readJsonBody } from "./json-body.ts";

const DEVICE = 1 as DeviceNo;

function request(): PassThrough & IncomingMessage {
  return Object.assign(new PassThrough(), { headers: {} }) as unknown as PassThrough & IncomingMessage;
}

test("D21: a body that does not come in time is refused, and its connection ends", async () => {
  const slow = request();
  slow.write('{"a":');
  await expect(readJsonBody(slow, DEVICE, 1000, 20)).rejects.toMatchObject({ status: 408, headers: { connection: "close" } });
});

test("one that comes in pieces is read", async () => {
  const pieces = request();
  const read = readJsonBody(pieces, DEVICE, 1000, 5000);
  for (const piece of ['{"a', '":', "1}"]) pieces.write(piece);
  pieces.end();
  expect(await read).toEqual({ a: 1 });
});

test("one that breaks off is not JSON", async () => {
  const broken = request();
  const read = readJsonBody(broken, DEVICE, 1000, 5000);
  broken.write("{}");
  broken.destroy();
  await expect(read).rejects.toMatchObject({ status: 400, errcode: "M_NOT_JSON" });
});
