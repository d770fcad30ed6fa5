-- Up Migration

-- Which accounts got a token just now: their pollers are looked at before it is their turn.
create index tokens_created on tokens (created_at);
