import { useSignal } from "@preact/signals";
import { endSession, listSessions } from "../../packages/client/src/index.ts";
import type { Account } from "./account.ts";
import { type Exchange, sendByHand } from "./exchanges.ts";
import { sizeText } from "./words.ts";

const ROOMS = 20;
const STATE = [
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.avatar", ""],
];
const V2_FILTER = { room: { timeline: { limit: 1 }, state: { lazy_load_members: true } }, presence: { types: [] } };
const CONNECTION = "syncv3-page-comparison";

/** The same screen, a list of 20 rooms with their last event each, from nothing. */
const WAYS: readonly { readonly name: string; readonly method: string; readonly path: string; readonly body?: object }[] = [
  { name: "v2", method: "GET", path: `/_matrix/client/v3/sync?filter=${encodeURIComponent(JSON.stringify(V2_FILTER))}` },
  {
    name: "Sync v3",
    method: "POST",
    path: "/_matrix/client/v3/sync",
    body: { room_list: { p: { limit: ROOMS }, state_events: STATE, timeline_limit: 1 } },
  },
  {
    name: "Simplified sliding sync",
    method: "POST",
    path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    body: { conn_id: CONNECTION, lists: { all: { ranges: [[0, ROOMS - 1]], timeline_limit: 1, required_state: STATE } } },
  },
  {
    name: "/v4/sync",
    method: "POST",
    path: "/_matrix/client/v4/sync",
    body: {
      conn_id: CONNECTION,
      lists: { all: { range: [0, ROOMS - 1], timeline_limit: 1, required_state: { include: STATE.map(([type]) => ({ type })) } } },
    },
  },
];

/** Bytes and time of the same screen through each API. */
export function Comparison({ account }: { readonly account: Account }) {
  const results = useSignal<readonly (Exchange | undefined)[]>([]);
  const busy = useSignal(false);
  const measure = async (): Promise<void> => {
    busy.value = true;
    results.value = [];
    const before = new Set((await listSessions(account.server)).map(({ id }) => id));
    for (const { method, path, body } of WAYS) {
      const sent = await sendByHand(account.server.accessToken as string, method, path, body && JSON.stringify(body));
      results.value = [...results.value, sent];
    }
    // What was begun for this is not to hold anything back.
    const begun = (await listSessions(account.server)).filter(({ id, kind }) => !before.has(id) && (kind === "v3" || kind === "connection"));
    for (const { id } of begun) await endSession(account.server, id).catch(() => {});
    busy.value = false;
  };
  return (
    <section class="comparison" aria-label="Comparison with v2">
      <h3>Compare with v2</h3>
      <p>
        Loads the first {ROOMS} rooms with name, avatar and last event from scratch, through each API. v2 cannot ask for only {ROOMS} rooms, so it
        returns all rooms.{" "}
        <button type="button" disabled={busy.value} onClick={() => void measure()}>
          Measure
        </button>
      </p>
      {(busy.value || results.value.length > 0) && (
        <table>
          <thead>
            <tr>
              {["", "Time", "Transferred", "Uncompressed"].map((name) => (
                <th>{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {WAYS.map(({ name }, i) => {
              const result = results.value[i];
              return (
                <tr key={name} data-way={name}>
                  <th>{name}</th>
                  <td>{result ? (result.status === 200 ? `${result.ms?.toFixed(0)} ms` : result.status) : "…"}</td>
                  <td>{result?.bytes ? sizeText(result.bytes.packed) : ""}</td>
                  <td>{result?.bytes ? sizeText(result.bytes.plain) : ""}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
}
