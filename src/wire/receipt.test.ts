import { expect, test } from "vitest";
import { readReceiptData } from "./receipt.ts";

const same = (text: string, thread: string, ts: number) => [text, { text, thread, ts }] as const;

test.each([
  same('{"ts":5}', "", 5),
  same('{"ts":0,"thread_id":"main"}', "main", 0),
  same('{"thread_id":"$root","ts":1700000000000}', "$root", 1_700_000_000_000),
  same('{ "x":1.0, "thread_id":"org.other" }', "org.other", 0),
  same("{}", "", 0),
  same(`{"thread_id":"$${"a".repeat(3000)}"}`, `$${"a".repeat(3000)}`, 0),
  ['{"ts":5.0}', { text: '{"ts":5}', thread: "", ts: 5 }],
  ['{"ts":-0}', { text: '{"ts":0}', thread: "", ts: 0 }],
  ['{"ts":-5,"x":1.0}', { text: '{"x":1.0}', thread: "", ts: 0 }],
  ['{"ts":9007199254740992}', { text: "{}", thread: "", ts: 0 }],
  ['{"ts":null,"thread_id":null}', { text: "{}", thread: "", ts: 0 }],
  ['{"ts":1,"ts":2}', { text: '{"ts":2}', thread: "", ts: 2 }],
  ['{"thread_id":"main","thread_id":"$a","ts":1}', { text: '{"thread_id":"$a","ts":1}', thread: "$a", ts: 1 }],
  ['{"\\ud800":1,"ts":1}', { text: '{"ts":1}', thread: "", ts: 1 }],
  ['{"thread_id":"$a:b c"}', null],
  ['{"thread_id":5}', null],
  ['{"thread_id":"\\ud800"}', null],
  ["[]", null],
  ["5", null],
] as const)("N6: %s", (text, expected) => {
  expect(readReceiptData(text)).toEqual(expected);
});
