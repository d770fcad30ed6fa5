/** Statements that write a list of rows. */

import type { PendingQuery, Row } from "postgres";

/** Sent when it is awaited; several that are awaited together share a round trip. */
export type Statement = PendingQuery<Row[]>;

/** `query` gets the rows as JSON text, for json_to_recordset. No statement if there are no rows. */
export function some<T>(rows: readonly T[], query: (json: string) => Statement): Statement[] {
  return rows.length === 0 ? [] : [query(JSON.stringify(rows))];
}
