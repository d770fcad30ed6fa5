/** Follow a Matrix account through sync v3 or simplified sliding sync. */

export type * from "./api-types.ts";
export { feed, type FeedItem, type FeedOptions } from "./feed.ts";
export type { FollowOptions, Retry, Store, Told } from "./follow.ts";
export { MatrixError, request, type RequestOptions, type Server } from "./http.ts";
export { accountStatus, endSession, listSessions, type SessionInfo } from "./sessions.ts";
export { Connection, type ConnectionKept, type ConnectionOptions } from "./sliding.ts";
export { type V3Kept, V3Session, type V3SessionOptions } from "./v3.ts";
