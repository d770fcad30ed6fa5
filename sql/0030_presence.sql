-- Up Migration

-- The upstream token up to which the stored presence is complete; null: it never was. Presence is polled only while somebody asks for it, so this
-- may be behind `since`, and what lies between is then asked for before presence is polled again.
alter table accounts add column presence_since text;
-- When the event arrived, ms since the epoch: what it says of the time since the user was last active counts from then. null: not known.
alter table presence add column at bigint;
