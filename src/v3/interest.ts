/** Which wake-ups can bring news to a request (D7). */

import type { WakeKind } from "../feed/hub.ts";
import type { SyncParams } from "./params.ts";
import { STREAMS } from "./streams/registry.ts";

/** The kinds of the streams that the request asks for. */
export function kindsOf(params: SyncParams): ReadonlySet<WakeKind> {
  return new Set(STREAMS.flatMap((stream) => (params[stream.key] ? [...stream.kinds] : [])));
}
