/** Numbers in sentences for the operator. */

/** `1 account`, `2 accounts`. `plural`: if it is not the noun with an s. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
