/** Types of install.mjs for the tests. */

/** Builds the page /client/ where it is not as its sources are. */
export function buildPageOnce(): void;
