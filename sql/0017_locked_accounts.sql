-- Up Migration

-- While the homeserver has an account locked (T17): its answer to the account's tokens, as JSON, and when it was last given.
alter table accounts add column locked text;
alter table accounts add column locked_at timestamptz;
