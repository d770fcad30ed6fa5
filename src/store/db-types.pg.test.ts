import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

/** Any text that PostgreSQL can store. */
const text = fc
  .oneof(fc.string({ unit: "binary" }), fc.constantFrom("NULL", "null", "", " ", "a,b", "{}", "{a}", '"', "\\", '\\"', "\n", "😀"))
  .map((one) => one.replaceAll("\0", ""));

test("arrays of texts are unchanged after a round trip, with NULL and null distinguished", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(text, fc.constant(null))), async (values) => {
      const [row] = await db.sql<{ there: (string | null)[]; one: string }[]>`
        select array(select one from unnest(${values}::text[]) with ordinality as u(one, n) order by n) as there,
          to_json(${values}::text[])::text as one`;
      expect(row?.there).toEqual(values);
      expect(JSON.parse(row?.one ?? "")).toEqual(values);
    }),
    { numRuns: 300 },
  );
});

test("arrays of numbers, with null", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.option(fc.maxSafeInteger())), fc.array(fc.option(fc.integer())), async (long, short) => {
      const [row] = await db.sql`select ${long}::bigint[] as long, ${short}::integer[] as short`;
      expect(row).toEqual({ long, short });
    }),
    { numRuns: 100 },
  );
});

/** Two values of each type that is used in array parameters. */
const SAMPLES: Readonly<Record<string, readonly (number | string)[]>> = {
  bigint: [-1, 2 ** 53 - 1],
  "double precision": [-0.5, 1e300],
  integer: [-1, 2 ** 31 - 1],
  smallint: [-1, 32767],
  text: ["a", "b"],
};

test.each(Object.entries(SAMPLES))("an array of %s survives a round trip", async (type, samples) => {
  const list = [...samples, null] as string[];
  const rows = await db.sql.unsafe(`select $1::${type} as one, $2::${type}[] as list, $3::${type}[] as none`, [list[0] ?? null, list, []]);
  expect(rows).toEqual([{ one: list[0], list, none: [] }]);
});

test("an undefined element is refused, and the connection stays usable", async () => {
  await expect(db.sql`select ${["a", undefined as unknown as string]}::text[]`).rejects.toThrow("undefined element");
  expect(await db.sql`select ${["a"]}::text[] as a`).toEqual([{ a: ["a"] }]);
});

test("N9: bytes are read in both forms of bytea_output", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      for (const form of ["hex", "escape"]) {
        const [row] = await db.sql.begin(async (tx) => {
          await tx`select set_config('bytea_output', ${form}, true)`;
          return tx<{ there: Buffer }[]>`select ${bytes}::bytea as there`;
        });
        expect(row?.there).toEqual(Buffer.from(bytes));
      }
    }),
    { numRuns: 100 },
  );
});
