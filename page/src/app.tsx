import { signal } from "@preact/signals";
import type { Account } from "./account.ts";
import type { Follower } from "./followed.ts";
import { follow, type Protocol, PROTOCOLS } from "./follower.ts";
import { Inspector } from "./inspector.tsx";
import { Live } from "./live.tsx";
import * as model from "./model.ts";
import { Sessions } from "./sessions.tsx";
import { SignIn } from "./sign-in.tsx";

const TABS = { live: "Client", inspector: "Inspector", sessions: "Sessions" } as const;
type Tab = keyof typeof TABS;

const account = signal<Account | null>(null);
const follower = signal<Follower | null>(null);
const protocol = signal<Protocol>("v3");
const tab = signal<Tab>("live");
/** Why the account was signed out, if it did not sign out. */
const ended = signal<string | null>(null);
let stop = new AbortController();

async function start(through: Protocol): Promise<void> {
  if (account.value === null) return;
  stop.abort();
  stop = new AbortController();
  protocol.value = through;
  follower.value = null;
  const { signal: mine } = stop;
  const started = await follow(through, account.value, mine, ({ message }) => {
    if (mine.aborted) return;
    ended.value = message;
    forget();
  });
  if (!mine.aborted) follower.value = started;
}

async function signIn(signedIn: Account): Promise<void> {
  account.value = signedIn;
  ended.value = null;
  await start(protocol.value);
}

async function signOut(): Promise<void> {
  stop.abort();
  await account.value?.signOut().catch((error: unknown) => (ended.value = `Signing out at the homeserver failed: ${String(error)}`));
  forget();
}

function forget(): void {
  stop.abort();
  account.value = null;
  follower.value = null;
  model.openId.value = null;
  model.reset();
}

export function App() {
  if (account.value === null) return <SignIn reason={ended.value} onSignIn={signIn} />;
  return (
    <div class="app">
      <header>
        <nav aria-label="Views">
          {Object.entries(TABS).map(([key, name]) => (
            <button type="button" aria-current={tab.value === key ? "page" : undefined} onClick={() => (tab.value = key as Tab)}>
              {name}
            </button>
          ))}
        </nav>
        <label>
          API{" "}
          <select value={protocol.value} onChange={(event) => void start(event.currentTarget.value as Protocol)}>
            {Object.entries(PROTOCOLS).map(([key, name]) => (
              <option value={key}>{name}</option>
            ))}
          </select>
        </label>
        <span class="who">{account.value.userId}</span>
        <button type="button" onClick={() => void signOut()}>
          Sign out
        </button>
      </header>
      {model.trouble.value !== null && (
        <p class="trouble" role="status">
          {model.trouble.value}
        </p>
      )}
      {tab.value === "live" && <Live account={account.value} follower={follower.value} />}
      {tab.value === "inspector" && <Inspector account={account.value} />}
      {tab.value === "sessions" && <Sessions account={account.value} />}
    </div>
  );
}
