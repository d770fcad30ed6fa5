/** `node scripts/build-page.mjs`: builds the page /client/ where it is not as its sources are. */

import { buildPageOnce } from "./install.mjs";

buildPageOnce();
