/** Texts of every length, of every kind of character: for what is stored, indexed, compared and sent. */

import fc from "fast-check";

const LONGEST = 10_000;
/** Around what an id, a list name, an index row and a path may hold. */
const LENGTHS = [0, 1, 63, 64, 65, 84, 85, 86, 254, 255, 256, 499, 500, 501, 999, 1000, 1001, 2600, 2700, 3000, 8191, 8192];

const length = fc.oneof(fc.constantFrom(...LENGTHS), fc.nat(LONGEST));
const ASCII = Array.from({ length: 94 }, (_, n) => String.fromCodePoint(0x21 + n));
const WIDE = Array.from({ length: 4000 }, (_, n) => String.fromCodePoint(n % 2 === 0 ? 0x4e00 + n : 0x1f000 + n));
const alphabet = fc.constantFrom(["a"], ASCII, WIDE);

/** Pseudo-random, so that it does not compress. Half of a surrogate pair and NUL stand somewhere in a few of them. */
const incompressible = fc
  .record({ length, alphabet, seed: fc.nat(), odd: fc.constantFrom("", "", "", "\0", "\ud800", "\udc00x\0") })
  .map(({ length: size, alphabet: characters, seed, odd }) => {
    let state = seed + 1;
    const next = () => (state = (state * 48_271) % 2_147_483_647);
    const text = Array.from({ length: size }, () => characters[next() % characters.length] ?? "").join("");
    const at = next() % (text.length + 1);
    return text.slice(0, at) + odd + text.slice(at);
  });

/** Lengths of 0 to 10 000 characters, well-formed or not. */
export function anyText(): fc.Arbitrary<string> {
  return incompressible;
}

/** Lengths of 0 to 10 000 characters, without NUL and without lone surrogates. */
export function plainText(): fc.Arbitrary<string> {
  return incompressible.map((text) => text.replaceAll("\0", "").toWellFormed());
}

/** So many characters that do not compress. */
export function incompressibleText(characters: number): string {
  let state = characters + 7;
  return Array.from({ length: characters }, () => ASCII[(state = (state * 48_271) % 2_147_483_647) % ASCII.length] ?? "").join("");
}
