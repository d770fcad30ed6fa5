/** Cuts texts between characters, never inside one. */

/** The first `count` characters (code points) of a text. */
export function firstCharacters(text: string, count: number): string {
  if (text.length <= count) return text;
  let end = 0;
  let left = count;
  for (const character of text) {
    if (left === 0) break;
    left -= 1;
    end += character.length;
  }
  return text.slice(0, end);
}
