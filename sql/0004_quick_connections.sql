-- Up Migration

-- Tells two states of one number apart: of a connection that began anew, or where a crash of the database took the first one back.
alter table connection_states add column mark integer not null default 0;
-- Small enough bodies stand in the row, as they are: compressing them costs more than writing them.
-- There is room for the next version of a row beside it.
alter table connection_states set (toast_tuple_target = 8160, fillfactor = 50);

-- That a session was used is noted without touching an index, on the row's own page. A device has few sessions.
drop index sessions_device;
create index sessions_device on sessions (device);
alter table sessions set (fillfactor = 60);
