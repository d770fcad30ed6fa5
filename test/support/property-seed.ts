/** Setup of every test file: property tests try the same inputs in every run, unless `SYNCV3_TEST_SEED` chooses others, as `npm run properties` does. */

import fc from "fast-check";

fc.configureGlobal({ seed: Number(process.env["SYNCV3_TEST_SEED"] ?? 1) });
