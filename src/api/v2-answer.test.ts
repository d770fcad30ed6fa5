import fc from "fast-check";
import { expect, test } from "vitest";
import { cutV2Answer } from "./v2-answer.ts";

function exchange(text: string, bodies: string[]): string | undefined {
  return cutV2Answer(Buffer.from(text))?.withMessages(bodies).toString();
}

test("messages are read byte for byte and exchanged; everything else keeps its bytes", () => {
  const text = '{ "rooms":{"join" :{}}, "to_device" : {"x":1.0, "events": [ {"a":1e2},{"b":"ü\\u0000"} ] } ,"next_batch":"s\\u0031"} ';
  const answer = cutV2Answer(Buffer.from(text));
  expect(answer?.nextBatch).toBe("s1");
  expect(answer?.messages).toEqual(['{"a":1e2}', '{"b":"ü\\u0000"}']);
  expect(exchange(text, ['{"ö":1}'])).toBe('{ "rooms":{"join" :{}}, "to_device" : {"x":1.0, "events": [{"ö":1}] } ,"next_batch":"s\\u0031"} ');
});

test("a section that is missing is put in, unless there is nothing to put", () => {
  expect(exchange('{"next_batch":"s1"}', ["{}"])).toBe('{"to_device":{"events":[{}]},"next_batch":"s1"}');
  expect(exchange('{"next_batch":"s1"}', [])).toBe('{"next_batch":"s1"}');
  expect(exchange('{"next_batch":"s1","to_device":{}}', ["1", "2"])).toBe('{"next_batch":"s1","to_device":{"events":[1,2]}}');
  expect(exchange('{"next_batch":"s1","to_device":{"x":1}}', ["1"])).toBe('{"next_batch":"s1","to_device":{"events":[1],"x":1}}');
  expect(exchange('{"next_batch":"s1","to_device":{"events":[1]}}', [])).toBe('{"next_batch":"s1","to_device":{"events":[]}}');
});

test.each([
  "",
  "[]",
  "{}",
  '{"next_batch":1}',
  '{"next_batch":"s1"',
  '{"next_batch":"s1"}x',
  '{"next_batch":"s1","to_device":[]}',
  '{"next_batch":"s1","to_device":{"events":{}}}',
  '{"next_batch":"s1","to_device":null}',
])("%s cannot be cut", (text) => {
  expect(cutV2Answer(Buffer.from(text))).toBeNull();
});

test("any answer: the messages are those of JSON.parse, and only they change", () => {
  const answers = fc.record({
    next_batch: fc.string(),
    a: fc.jsonValue(),
    to_device: fc.record({ events: fc.array(fc.jsonValue()), b: fc.jsonValue() }),
    c: fc.jsonValue(),
  });
  fc.assert(
    fc.property(answers, fc.array(fc.jsonValue()), (value, others) => {
      const answer = cutV2Answer(Buffer.from(JSON.stringify(value)));
      expect(answer?.nextBatch).toEqual(JSON.parse(JSON.stringify(value.next_batch)));
      expect(answer?.messages).toEqual(value.to_device.events.map((one) => JSON.stringify(one)));
      const changed = { ...value, to_device: { ...value.to_device, events: others } };
      expect(answer?.withMessages(others.map((one) => JSON.stringify(one))).toString()).toBe(JSON.stringify(changed));
    }),
  );
});
