/**
 * What any server answers an account that exists: whichever of v2, sync v3, simplified sliding sync and MSC3575 it speaks. Nothing is
 * written to the account. Of two servers in front of the same account, the second is the peer.
 */

import { load } from "./load.ts";
import { listBody, PATH as SIMPLIFIED } from "./sliding.ts";
import type { Row } from "./stats.ts";

export type AnyServer = {
  /** Base URL, as of a homeserver. */
  readonly url: string;
  /** Another base URL that takes the same token. */
  readonly peer?: string | undefined;
  readonly token: string;
  /** How many rooms are asked for. */
  readonly rooms: number;
  /** How many clients ask at once, each in turn; what one client is told is told with it. */
  readonly clients: readonly number[];
  readonly seconds: number;
};

/** First answers, one after the other, of each API. */
const TIMES = 50;
const TIMES_V2 = 3;
const WARM = 3;

type Api = { readonly name: string; readonly path: string; readonly body: (client: number) => object };

function apis(rooms: number): Api[] {
  const simplified = (client: number) => listBody(`bench-${client}`, rooms - 1);
  const { all_rooms: list } = simplified(0).lists;
  const state = list.required_state.flatMap(([type = "", key = ""]) => (key.startsWith("$") ? [] : [[type, key] as const]));
  const merged = {
    ...list,
    range: [0, rooms - 1],
    ranges: undefined,
    required_state: { include: state.map(([type, key]) => ({ type, ...(key !== "*" && { state_key: key }) })), lazy_members: true },
  };
  return [
    { name: "simplified sliding sync", path: `${SIMPLIFIED}?timeout=0`, body: simplified },
    { name: "/v4/sync", path: "/_matrix/client/v4/sync", body: (client) => ({ ...simplified(client), lists: { all_rooms: merged } }) },
    {
      name: "MSC3575",
      path: "/_matrix/client/unstable/org.matrix.msc3575/sync?timeout=0",
      body: (client) => ({ ...simplified(client), lists: { all_rooms: { ...list, sort: ["by_recency"] } } }),
    },
    {
      name: "sync v3",
      path: "/_matrix/client/v3/sync?timeout=0",
      body: () => ({
        room_list: { p: { limit: rooms }, state_events: state.filter(([, key]) => key !== "*"), timeline_limit: 1 },
        account_data: {},
      }),
    },
  ];
}

/** @throws where the server cannot be reached, does not take the token or speaks none of the APIs */
export async function anyServer(server: AnyServer, say: (line: string) => void): Promise<Row[]> {
  const { url, peer, token, rooms } = server;
  say("v2: first sync");
  const ours = await firstSyncs(url, token);
  const theirs = peer === undefined ? null : await firstSyncs(peer, token);
  const rows = ours ? [row("v2: first sync, lazy members", "ms", ours, peer, theirs)] : [];
  for (const api of apis(rooms)) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other, so that none disturbs another
    if (!(await isSpoken(url, token, api))) {
      say(`${api.name}: not spoken by ${url}`);
      continue;
    }
    say(`${api.name}: first answers`);
    // oxlint-disable-next-line no-await-in-loop
    const other = peer !== undefined && (await isSpoken(peer, token, api)) ? peer : undefined;
    // oxlint-disable-next-line no-await-in-loop
    rows.push(...(await figuresOf(api, { ...server, peer: other })));
  }
  if (rows.length === 0) throw new Error(`${url} speaks no sync API`);
  return rows;
}

async function figuresOf(api: Api, { url, peer, token, rooms, clients, seconds }: AnyServer): Promise<Row[]> {
  const ask = async (base: string | undefined, count: number, until: { readonly times: number } | { readonly seconds: number }) => {
    if (base === undefined) return undefined;
    const { origin, pathname } = new URL(base);
    const bodies = Array.from({ length: count }, (_, i) => JSON.stringify(api.body(i)));
    return await load({ url: origin, path: pathname.replace(/\/+$/, "") + api.path, token, bodies, ...until });
  };
  await ask(url, 1, { times: WARM });
  await ask(peer, 1, { times: WARM });
  const [ours, theirs] = [await ask(url, 1, { times: TIMES }), await ask(peer, 1, { times: TIMES })];
  const what = `${api.name}: first answer, ${rooms} rooms`;
  const rows = [row(`${what}, warm`, "ms", ours?.latencies ?? [], peer, theirs?.latencies)];
  for (const count of clients) {
    const [rates, peers]: [number[], number[]] = [[], []];
    for (let i = 0; i < seconds; i += 1) {
      // oxlint-disable-next-line no-await-in-loop -- in turns, so that the machine's moods hit both
      const [one, two] = [await ask(url, count, { seconds: 1 }), await ask(peer, count, { seconds: 1 })];
      if (one) rates.push(one.perSecond);
      if (two) peers.push(two.perSecond);
    }
    rows.push(row(`${what}, ${count} at once`, "/s", rates, peer, peers));
  }
  return rows;
}

function row(work: string, unit: Row["unit"], ours: readonly number[], peer: string | undefined, figures: readonly number[] | null | undefined): Row {
  return { work, unit, ours, ...(peer !== undefined && figures ? { peer: { name: new URL(peer).host, figures } } : {}) };
}

/** False where the server says that it does not know the request. */
async function isSpoken(base: string, token: string, { path, body }: Api): Promise<boolean> {
  const response = await asked(base, path, token, JSON.stringify(body(0)));
  const text = await response.text();
  if (response.ok) return true;
  if (response.status === 404 || response.status === 405 || text.includes("M_UNRECOGNIZED")) return false;
  throw new Error(`${base} answers ${response.status}: ${text.slice(0, 300)}`);
}

/** Null where there is no v2. Each asks with a filter of its own: homeservers keep whole first answers. */
async function firstSyncs(base: string, token: string): Promise<number[] | null> {
  const figures: number[] = [];
  for (let i = 0; i < TIMES_V2; i += 1) {
    const filter = { room: { state: { lazy_load_members: true }, timeline: { limit: 20 } }, presence: { not_types: [`x${Date.now()}`] } };
    const started = performance.now();
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const response = await asked(
      base,
      `/_matrix/client/v3/sync?timeout=0&set_presence=offline&filter=${encodeURIComponent(JSON.stringify(filter))}`,
      token,
    );
    // oxlint-disable-next-line no-await-in-loop
    const text = await response.text();
    if (response.status === 404 || response.status === 405) return null;
    if (!response.ok) throw new Error(`${base} answers ${response.status}: ${text.slice(0, 300)}`);
    figures.push(performance.now() - started);
  }
  return figures;
}

async function asked(base: string, path: string, token: string, body?: string): Promise<Response> {
  const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "content-type": "application/json" }) };
  try {
    return await fetch(base.replace(/\/+$/, "") + path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      ...(body === undefined ? {} : { body }),
    });
  } catch (error) {
    const reason = error instanceof Error ? (error.cause ?? error) : error;
    throw new Error(`${base} cannot be reached: ${reason instanceof Error ? reason.message : String(reason)}`, { cause: error });
  }
}
