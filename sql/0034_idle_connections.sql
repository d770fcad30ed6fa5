-- Up Migration

-- States of a connection below this one are of an earlier one of its name, which it has replaced.
alter table sessions add column first_state integer not null default 1;
-- The newest state that a request came with, so older ones are there only as bases. 0: the connection has not gone on after its first answer; of such
-- ones a device's surplus ends first.
alter table sessions add column from_state integer not null default 0;
update sessions set from_state = 1 where kind = 'connection';
-- The number under which all states were stored as one, in short, once the connection was idle: see src/sliding/folded-state.ts. The same as `state`:
-- nothing was stored since.
alter table sessions add column folded integer not null default 0;

-- A full state in short. A state without `body` and `folded` is the same as its base.
alter table connection_states add column folded bytea;
alter table connection_states alter column body drop not null;
alter table connection_states add constraint connection_states_one_form check (body is null or folded is null);

-- The newest end of state or of a member that nothing replaced. Retention deletes what ended, so positions before cannot be told of it one by one.
alter table standings add column ended_ord bigint not null default 0;
