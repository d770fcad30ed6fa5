/** The silence of matrix-js-sdk, which logs each request. To be imported before the rest of it: parts take hold of the log as they load. */

import { logger, type Logger } from "matrix-js-sdk/lib/logger.js";

/** For one client. */
export const silentJsLogger: Logger = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, getChild: () => silentJsLogger };

// For what logs past the client's own; this way a logger made later, which is a child of this one, is silent too.
const loglevel = logger as unknown as { methodFactory: () => () => void; rebuild(): void };
loglevel.methodFactory = () => () => {};
loglevel.rebuild();
