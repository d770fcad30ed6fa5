-- Up Migration

-- Profiles of users who share a room with the account (MSC4429), one field a row. `value`: JSON; null: the user does not have the field any more.
-- The field '' is about the user: null means that the two share no room any more.
create table profiles (
  account   bigint  not null,
  user_id   text    not null,
  field     text    not null,
  value     text,
  ord       bigint  not null,
  primary key (account, user_id, field)
);
create index profiles_ord on profiles (account, ord);

-- JSON lists of fields: those that a client asked for, and those that polls ask for. Of the latter, what was before the first such poll is stored.
alter table accounts add column profiles_wanted text not null default '[]';
alter table accounts add column profiles_polled text not null default '[]';
