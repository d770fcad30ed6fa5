/** A client that follows a session: it collects what each stream tells until what a test waits for has come. */

import type { Json } from "./events.ts";
import type { Answer, V3Client } from "./v3.ts";

export class Follower {
  readonly #client: V3Client;
  /** Every answer so far, oldest first. */
  readonly answers: Answer[] = [];
  since: string | undefined;

  constructor(client: V3Client) {
    this.#client = client;
  }

  /** One request; its answer is kept and its token used from then on. */
  async step(body: Json = {}, timeout = 0): Promise<Answer> {
    const answer = await this.#client.sync(body, { since: this.since, timeout });
    this.answers.push(answer);
    this.since = answer.next;
    return answer;
  }

  /** Long polls until an answer satisfies `found`, at most `ms`; what `found` made of it. */
  async until<T>(found: (answer: Answer) => T | undefined | false | Promise<T | undefined | false>, ms = 60_000): Promise<T> {
    const deadline = Date.now() + ms;
    for (;;) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`nothing of what was waited for came in ${ms} ms; the last answers: ${JSON.stringify(this.answers.slice(-3))}`);
      const result = await found(await this.step({}, left));
      if (result !== undefined && result !== false) return result;
    }
  }
}
