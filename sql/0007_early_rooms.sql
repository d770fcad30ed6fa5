-- Up Migration

-- How many rooms the user is in, while only some of them are stored: those that were fetched before the account's first sync.
alter table accounts add column joined_rooms integer;
