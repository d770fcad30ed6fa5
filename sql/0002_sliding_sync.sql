-- Up Migration

-- How a room stands among the account's rooms, as sliding sync's lists need it: the present only, not temporal.
-- Ordinals here are positions: the end of the batch in which something happened.
create table standings (
  account        bigint  not null,
  room_id        text    not null,
  changed_ord    bigint  not null,                     -- its timeline, state, members, facts or stripped state last changed
  membership_ord bigint  not null,                     -- the user's own membership became what it is
  active_ord     bigint  not null,                     -- the newest event or invite: what lists are sorted by; unique in an account
  bump_ord       bigint  not null,                     -- the newest event that counts as activity (MSC4186 bump_stamp)
  kicked         boolean not null default false,       -- left, by somebody else's doing
  ever_joined    boolean not null default false,
  inviter        text,                                 -- of the newest invite
  primary key (account, room_id)
);
create index standings_changed on standings (account, changed_ord);

insert into standings (account, room_id, changed_ord, membership_ord, active_ord, bump_ord, ever_joined, inviter)
select f.account, f.room_id, a.position, a.position, greatest(coalesce(r.last_ord, 0), coalesce(i.ord, 0)), coalesce(r.last_ord, 0),
  f.membership not in ('invite', 'knock'), i.inviter
from room_facts f
join accounts a using (account)
left join rooms r on r.account = f.account and r.room_id = f.room_id
left join invites i on i.account = f.account and i.room_id = f.room_id
where f.to_ord = 9223372036854775807;

-- How often a room was forgotten: what is remembered of the account's rooms elsewhere is worthless then.
alter table accounts add column forgotten bigint not null default 0;

-- connection: a sliding sync connection; it neither holds nor acknowledges to-device messages.
-- sliding:    all of a device's connections together, as one participant in the purge of to-device messages.
alter table sessions drop constraint sessions_kind_check;
alter table sessions add constraint sessions_kind_check check (kind in ('v3', 'v2', 'sliding', 'connection'));
alter table sessions add column conn_id text;          -- of a connection
create unique index sessions_sliding on sessions (device) where kind = 'sliding';
create unique index sessions_connection on sessions (device, conn_id) where kind = 'connection';

-- What a connection has been told, as a position of it stands for: see src/sliding/connection-state.ts. Immutable.
create table connection_states (
  session     bigint      not null references sessions on delete cascade,
  state       integer     not null,
  base        integer,                                 -- the whole state that the body changes; null: the body is whole
  body        text        not null,                    -- JSON
  primary key (session, state)
);
