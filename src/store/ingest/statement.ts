/** A statement that writes a list of rows. */

import type { PendingQuery, Row } from "postgres";

/** Sent when it is awaited; several awaited together go out in one round trip. */
export type Statement = PendingQuery<Row[]>;

/** `query` gets the rows as JSON text, for json_to_recordset. No statement where there is nothing to write. */
export function some<T>(rows: readonly T[], query: (json: string) => Statement): Statement[] {
  return rows.length === 0 ? [] : [query(JSON.stringify(rows))];
}
