import { useSignal } from "@preact/signals";
import { Account } from "./account.ts";

/** With a password, or a token that somebody has. */
export function SignIn({ reason, onSignIn }: { readonly reason: string | null; readonly onSignIn: (account: Account) => Promise<void> }) {
  const failure = useSignal(reason);
  const busy = useSignal(false);
  const submit = (making: (form: FormData) => Promise<Account>) => (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    if (!busy.value) void begin(() => making(form));
  };
  const begin = async (making: () => Promise<Account>): Promise<void> => {
    busy.value = true;
    failure.value = null;
    try {
      await onSignIn(await making());
    } catch (error) {
      failure.value = error instanceof Error ? error.message : String(error);
    } finally {
      busy.value = false;
    }
  };
  return (
    <main class="sign-in">
      <h1>syncv3</h1>
      <p>View an account of this homeserver through sync v3 or simplified sliding sync.</p>
      {failure.value !== null && <p role="alert">{failure.value}</p>}
      <form onSubmit={submit((form) => Account.logIn(text(form, "user"), text(form, "password")))}>
        <h2>With a password</h2>
        <label>
          User <input name="user" autocomplete="username" required autofocus placeholder="alice or @alice:example.org" />
        </label>
        <label>
          Password <input name="password" type="password" autocomplete="current-password" required />
        </label>
        <button disabled={busy.value}>Sign in</button>
        <small>Signing in creates a new device. Signing out deletes it.</small>
      </form>
      <form onSubmit={submit((form) => Account.ofToken(text(form, "token").trim()))}>
        <h2>With an access token</h2>
        <label>
          Token <input name="token" type="password" autocomplete="off" required />
        </label>
        <button disabled={busy.value}>Use token</button>
        <small>
          Use only a token of a device whose client connects through this server: from now on, the server polls the homeserver for this device and
          takes its to-device messages. The token is only in this page's memory.
        </small>
      </form>
    </main>
  );
}

function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}
