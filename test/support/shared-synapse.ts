/** The Synapse that all end-to-end tests of a run share. Only in `.e2e.test.ts` files; give users and rooms names of the test's own. */

import { inject } from "vitest";

import { HomeserverUsers, type HomeserverAddress } from "./synapse-api.ts";

export function sharedSynapse(): HomeserverAddress & { readonly users: HomeserverUsers } {
  const address = inject("synapse");
  return { ...address, users: new HomeserverUsers(address) };
}
