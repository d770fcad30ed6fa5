-- Up Migration

-- Pages of a member list (S3) begin anywhere in it without reading what comes before. By a hash of account and room: nothing else is to
-- take this index for one of single members, as PostgreSQL does while it has no statistics.
create index members_named on members (hashtextextended(room_id, account), sort_name collate "C", user_id collate "C");
