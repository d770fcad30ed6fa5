/** Pages of history without the events that the client already has (T20). */

import { historyToken, type HistoryToken } from "../wire/history-token.ts";
import { withMember } from "../wire/json-edit.ts";
import { eachElement, eachMember } from "../wire/json-scan.ts";
import type { Edit } from "./json-answer.ts";

export type Cutting = {
  /** This token's event and newer ones are cut. */
  readonly token: HistoryToken;
  /** The page's name for the token of the next page. */
  readonly key: "end" | "next_batch";
  /** Which of the events must be cut. */
  readonly sent: (ids: readonly string[]) => Promise<ReadonlySet<string>>;
  /** The page that begins at an upstream token; null: it is not available now. */
  readonly next: (token: string) => Promise<string | null>;
};

/** A page as received: the texts of events with their ids, newest first, and the upstream token of the next page (null: none). */
type CutPage = { readonly chunk: readonly { readonly id: string; readonly text: string }[]; readonly end: string | null };

/**
 * The most empty pages that are followed in one request, because matrix-js-sdk takes an empty page for the end. Rarely more is cut than one v2
 * response contains.
 */
const MOST_PAGES = 100;

/**
 * Cuts pages, and follows empty ones until an older event comes. The homeserver may order events differently from how they arrived, so pages after
 * one that was cut are cut too: their token is one of ours.
 */
export function cutPages(cutting: Cutting): Edit {
  return async (first) => {
    let text: string | null = first;
    let answer = first;
    for (let pages = 0; pages < MOST_PAGES && text !== null; pages += 1) {
      const page = pageOf(text, cutting.key);
      // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
      const sent = await cutting.sent(page.chunk.map(({ id }) => id));
      const remaining = page.chunk.filter(({ id }) => !sent.has(id));
      // A page may also come empty, where the homeserver hides what is on it: what follows may still have to be cut.
      const isWhole = remaining.length > 0 && remaining.length === page.chunk.length;
      answer = isWhole ? text : withPage(text, remaining, cutting, page.end);
      if (remaining.length > 0 || page.end === null) break;
      // oxlint-disable-next-line no-await-in-loop -- as above
      text = await cutting.next(page.end);
    }
    return answer;
  };
}

function withPage(text: string, remaining: CutPage["chunk"], { token, key }: Cutting, end: string | null): string {
  const cut = withMember(text, "chunk", () => `[${remaining.map((event) => event.text).join(",")}]`);
  return end === null ? cut : withMember(cut, key, () => JSON.stringify(historyToken({ ...token, later: end })));
}

function pageOf(text: string, key: Cutting["key"]): CutPage {
  const chunk: { id: string; text: string }[] = [];
  let end: string | null = null;
  eachMember(text, 0, (name, start, stop) => {
    if (name === "chunk" && text[start] === "[") {
      eachElement(text, start, (from, to) => {
        const event = text.slice(from, to);
        chunk.push({ id: idOf(event), text: event });
      });
    } else if (name === key) {
      const value: unknown = JSON.parse(text.slice(start, stop));
      end = typeof value === "string" ? value : null;
    }
  });
  return { chunk, end };
}

/** "" if it is not an event; it then stays in the page. */
function idOf(text: string): string {
  const event = JSON.parse(text) as { readonly event_id?: unknown } | null;
  return typeof event?.event_id === "string" ? event.event_id : "";
}
