/** A homeserver's answer to `GET /_matrix/client/versions`. It may differ from user to user. */

/** The flag of simplified sliding sync (MSC4186) in `unstable_features`. */
export const SIMPLIFIED_SYNC = "org.matrix.simplified_msc3575";

/** Thread subscriptions: their endpoints and, of a homeserver with sliding sync, the extension for them (MSC4308), which has no flag in Synapse. */
export const THREAD_SUBSCRIPTIONS = "org.matrix.msc4306";

/** Whether all of these are listed as true in `unstable_features`. @throws SyntaxError if it is not JSON */
export function hasFeatures(versions: string, names: readonly string[]): boolean {
  const answer = JSON.parse(versions) as { readonly unstable_features?: Readonly<Record<string, unknown>> | null } | null;
  return names.every((name) => answer?.unstable_features?.[name] === true);
}
