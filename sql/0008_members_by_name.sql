-- Up Migration

-- Pages of a member list (S3) begin anywhere in it without reading what comes before. By a hash of account and room: nothing else is to
-- take this index for one of single members, as PostgreSQL does while it has no statistics.
-- A longer name may not fit in a row of an index (about 2700 bytes): the first 500 characters count.
update members set sort_name = left(sort_name, 500) where octet_length(sort_name) > 500 and char_length(sort_name) > 500;
create index members_named on members (hashtextextended(room_id, account), sort_name collate "C", user_id collate "C");
