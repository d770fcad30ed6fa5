-- Up Migration

-- Indexes hold bounded values only: a row of an index takes about 2700 bytes. Members are sorted by the first 500 characters of their names.
update members set sort_name = left(sort_name, 500) where octet_length(sort_name) > 500 and char_length(sort_name) > 500;

-- Types of account data and device ids of more than 255 bytes stand there as index keys: see src/wire/index-key.ts.
update account_data set type = left(type, 48) || repeat('…', 64) || encode(sha256(convert_to(type, 'UTF8')), 'hex') where octet_length(type) > 255;
update devices set device_id = left(device_id, 48) || repeat('…', 64) || encode(sha256(convert_to(device_id, 'UTF8')), 'hex')
where octet_length(device_id) > 255;

-- Ids that no column of texts can be compared with.
update accounts set ignored = replace(ignored, '\u0000', '') where ignored like '%\\u0000%';
