-- Up Migration

-- How many uploads of keys by the device have been noted. A poll that was sent while this was lower carries key counts from before the
-- last upload: they are not stored.
alter table devices add column key_uploads bigint not null default 0;

-- When the account's room poll last brought this change; null: the device's own poll without rooms did. What both bring is sent once.
alter table device_lists add column shared_at timestamptz;
