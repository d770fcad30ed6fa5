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
      <p>See an account of this server's homeserver through sync v3 and simplified sliding sync.</p>
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
        <small>Makes a device, which signing out ends.</small>
      </form>
      <form onSubmit={submit((form) => Account.ofToken(text(form, "token").trim()))}>
        <h2>With an access token</h2>
        <label>
          Token <input name="token" type="password" autocomplete="off" required />
        </label>
        <button disabled={busy.value}>Use it</button>
        <small>
          Of a device whose clients come through this server: the server polls the homeserver for it from now on. The token stays in this page's
          memory.
        </small>
      </form>
    </main>
  );
}

function text(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}
