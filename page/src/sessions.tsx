import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { endSession, listSessions, type SessionInfo } from "../../packages/client/src/index.ts";
import type { Account } from "./account.ts";

/** The device's sessions and connections (D20). */
export function Sessions({ account }: { readonly account: Account }) {
  const sessions = useSignal<readonly SessionInfo[] | null>(null);
  const failure = useSignal<string | null>(null);
  const load = async (): Promise<void> => {
    try {
      sessions.value = await listSessions(account.server);
      failure.value = null;
    } catch (error) {
      failure.value = String(error);
    }
  };
  const end = async (id: string): Promise<void> => {
    await endSession(account.server, id).catch((error: unknown) => (failure.value = String(error)));
    await load();
  };
  useEffect(() => void load(), []);
  const time = (ms: number) => new Date(ms).toLocaleString();
  return (
    <main class="sessions">
      <h2>
        Sessions of {account.deviceId} <button onClick={() => void load()}>Refresh</button>
      </h2>
      <p>
        The server stores each to-device message until every session that asked for to-device messages has received it. Unused sessions expire. If you
        end a session, its client starts a new one.
      </p>
      {failure.value !== null && <p role="alert">{failure.value}</p>}
      <div class="scrolled">
        <table>
          <thead>
            <tr>
              {["Session", "Kind", "Started", "Last used", "Position", "To-device messages waiting", ""].map((name) => (
                <th>{name}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {(sessions.value ?? []).map((session) => (
              <tr key={session.id} data-session={session.id}>
                <td>{session.id}</td>
                <td>{session.kind}</td>
                <td>{time(session.created_ts)}</td>
                <td>{time(session.last_used_ts)}</td>
                <td>{session.position}</td>
                <td>{session.to_device_held}</td>
                <td>
                  <button type="button" onClick={() => void end(session.id)}>
                    End
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </main>
  );
}
