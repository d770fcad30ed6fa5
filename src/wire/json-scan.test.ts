import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { copyText, eachElement, eachMember, JsonSyntaxError, skipValue, withoutMembers } from "./json-scan.ts";

/** JSON texts with white space wherever it is allowed, built independently of JSON.stringify, which writes none. */
const spaced = fc.tuple(fc.jsonValue(), fc.constantFrom("", " ", "\n", "\t ", "\r\n")).map(([value, space]) => print(value, space));

function print(value: unknown, space: string): string {
  if (Array.isArray(value)) return `[${space}${value.map((item) => print(item, space)).join(`${space},${space}`)}${space}]`;
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}${space}:${space}${print(item, space)}`);
    return `{${space}${members.join(`${space},${space}`)}${space}}`;
  }
  return JSON.stringify(value);
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** True if the scanner takes all of `text` for one value. */
function scans(text: string): boolean {
  try {
    return /^[ \t\r\n]*$/.test(text.slice(skipValue(text, 0)));
  } catch (error) {
    if (error instanceof JsonSyntaxError) return false;
    throw error;
  }
}

describe("skipValue", () => {
  test("finds the end of every JSON value", () => {
    fc.assert(
      fc.property(spaced, (text) => {
        expect(skipValue(`  ${text} ,"x"`, 0)).toBe(text.length + 2);
      }),
    );
  });

  test("refuses every truncated text, except for a number's digits", () => {
    fc.assert(
      fc.property(
        spaced.filter((text) => /^[[{"]/.test(text)),
        fc.nat(),
        (text, at) => {
          expect(() => skipValue(text.slice(0, at % text.length), 0)).toThrow(JsonSyntaxError);
        },
      ),
    );
  });

  test("accepts what JSON.parse accepts, and nothing else", () => {
    const broken = fc.tuple(spaced, fc.nat(), fc.constantFrom(...'{}[]",:0-+.eE\\u1atn \u0001\u001f\u00a0')).map(([text, at, character]) => {
      const i = at % (text.length + 1);
      return text.slice(0, i) + character + text.slice(i + (at % 2));
    });
    const soup = fc.array(fc.constantFrom(...'{}[]",:01-+.eEtrufalsn\\ "'), { maxLength: 12 }).map((parts) => parts.join(""));
    const property = fc.property(fc.oneof(broken, soup), (text) => {
      expect(scans(text)).toBe(parses(text));
    });
    fc.assert(property, { numRuns: 3000 });
  });

  test.each([
    "",
    " ",
    "tru",
    "nul",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    '"\\x"',
    '"\\u12g4"',
    '"\\u00\u00114"',
    '"\n"',
    "[1,]",
    "[,1]",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{a:1}",
    "{'a':1}",
    '{"a":1]',
    "[1}",
    "NaN",
    "undefined",
    "[1 2]",
    "\u00a01",
  ])("refuses %j", (text) => {
    expect(parses(text)).toBe(false);
    expect(scans(text)).toBe(false);
  });

  test.each(["0", "-0", "1.0", "1e2", "1E-07", "123456789012345678901234567890", '"\\u0000\\ud800"', '"\\/"', "[]", "{}", "[[],{}]"])(
    "takes %s",
    (text) => {
      expect(scans(text)).toBe(true);
    },
  );

  test("is not limited in depth", () => {
    const deep = 200_000;
    expect(skipValue("[".repeat(deep) + "]".repeat(deep), 0)).toBe(2 * deep);
    expect(() => skipValue('{"a":'.repeat(deep), 0)).toThrow(JsonSyntaxError);
  });

  test("reports where a text ends too early", () => {
    expect(() => skipValue('{"a":[1,', 0)).toThrow("JSON ends too early, at 8");
    expect(() => skipValue('{"a":x}', 0)).toThrow("Not JSON at 5");
  });
});

describe("eachMember and eachElement", () => {
  test("find the members of every object, keys decoded, in order", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()), fc.constantFrom("", " \n"), (object, space) => {
        const text = print(object, space);
        const found: [string, unknown][] = [];
        const end = eachMember(`\n${text}, 1`, 0, (key, from, to) => found.push([key, JSON.parse(`\n${text}`.slice(from, to))]));
        expect(end).toBe(text.length + 1);
        expect(found).toEqual(Object.entries(JSON.parse(text)));
      }),
    );
  });

  test("find the elements of every list", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue()), fc.constantFrom("", " \n"), (list, space) => {
        const text = print(list, space);
        const found: unknown[] = [];
        expect(eachElement(text, 0, (from, to) => found.push(JSON.parse(text.slice(from, to))))).toBe(text.length);
        expect(found).toEqual(JSON.parse(text));
      }),
    );
  });

  test("decode escaped keys", () => {
    const keys: string[] = [];
    eachMember('{"\\u0061\\"b":1,"\\ud83d\\ude00":2,"":3,"a":4,"a":5}', 0, (key) => keys.push(key));
    expect(keys).toEqual(['a"b', "😀", "", "a", "a"]);
  });

  test("refuse another kind of value", () => {
    const ignore = (): void => {};
    expect(() => eachMember("[]", 0, ignore)).toThrow(JsonSyntaxError);
    expect(() => eachMember('"{}"', 0, ignore)).toThrow(JsonSyntaxError);
    expect(() => eachElement("{}", 0, ignore)).toThrow(JsonSyntaxError);
    expect(() => eachElement("[1", 0, ignore)).toThrow(JsonSyntaxError);
  });
});

describe("withoutMembers", () => {
  const objects = fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e\n"), fc.jsonValue());
  const keySets = fc.subarray(["a", "b", "c", "e\n", "x"]);

  test("cuts the named members and no others", () => {
    fc.assert(
      fc.property(objects, keySets, fc.constantFrom("", " ", "\n  "), (object, keys, space) => {
        const text = print(object, space);
        const cut = withoutMembers(` ${text}\n`, new Set(keys));
        const expected: Record<string, unknown> = JSON.parse(text);
        const removed = Object.entries(expected).filter(([key]) => keys.includes(key));
        for (const [key] of removed) delete expected[key];
        expect(JSON.parse(cut.text)).toEqual(expected);
        expect(Object.keys(JSON.parse(cut.text))).toEqual(Object.keys(expected));
        expect([...cut.removed].map(([key, value]) => [key, JSON.parse(value)])).toEqual(removed);
      }),
    );
  });

  test.each([
    ['{"a":1.0,"x":2,"b":1e2}', '{"a":1.0,"b":1e2}'],
    ['{"x":2 , "a":1.0}', '{"a":1.0}'],
    ['{ "a" : 1 , "b":2, "x" :3 }', '{ "a" : 1 , "b":2 }'],
    ['{"x":1,"x":2}', "{}"],
    ['{ "x":1 }', "{  }"],
    ['{"x":1,"a":0,"x":2,"b":0,"x":{"y":[1]}}', '{"a":0,"b":0}'],
    ['{"\\u0078":1,"a":0}', '{"a":0}'],
    ['{"a":{"x":1}}', '{"a":{"x":1}}'],
    ["{}", "{}"],
  ])("%s becomes %s", (text, expected) => {
    expect(withoutMembers(text, new Set(["x"])).text).toBe(expected);
  });

  test("returns the last of duplicates", () => {
    expect(withoutMembers('{"x":1,"x":{"y": 2}}', new Set(["x"])).removed).toEqual(new Map([["x", '{"y": 2}']]));
  });

  test.each(["[]", "1", "{}x", "{} {}", '{"a":1', ""])("refuses %j", (text) => {
    expect(() => withoutMembers(text, new Set())).toThrow(JsonSyntaxError);
  });
});

test("copyText copies every well-formed text as it is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(copyText(text)).toBe(text);
    }),
  );
});
