-- Up Migration

-- Which event an event relates to, and how, as index keys; also after it was redacted. Reactions are left out, because nothing is bundled of them.
alter table events add column relates_to text, add column rel_type text;
create index events_relates_to on events (relates_to) where relates_to is not null;

-- What the homeserver bundled with an event (unsigned["m.relations"]), as JSON, and the position up to which that is right (T7).
alter table timeline add column relations text, add column relations_ord bigint;
alter table older add column relations text, add column relations_ord bigint;

-- The same of what is stored. null where PostgreSQL cannot read the JSON, which can be anything.
create function stored_relation(body text) returns text[] language plpgsql as $$
declare
  relation json;
  found text[];
begin
  relation := body::json -> 'content' -> 'm.relates_to';
  found := array[relation ->> 'event_id', relation ->> 'rel_type'];
  if json_typeof(relation -> 'event_id') <> 'string' or json_typeof(relation -> 'rel_type') <> 'string' or found[2] = 'm.annotation'
    or found[1] = '' or octet_length(found[1]) > 255 or octet_length(found[2]) > 255 then
    return null;
  end if;
  return found;
exception when others then
  return null;
end $$;
create function without_relations(unsigned text) returns text language plpgsql as $$
begin
  return nullif((unsigned::jsonb - 'm.relations')::text, '{}');
exception when others then
  return null;
end $$;
create function stored_relations(unsigned text) returns text language plpgsql as $$
begin
  return case when json_typeof(unsigned::json -> 'm.relations') = 'object' then (unsigned::json -> 'm.relations')::text end;
exception when others then
  return null;
end $$;
update events e set relates_to = r.found[1], rel_type = r.found[2]
  from (select event_id, stored_relation(body) as found from events where body like '%"m.relates_to"%' offset 0) r
  where e.event_id = r.event_id and r.found[1] is not null and r.found[2] is not null;
update timeline set relations = stored_relations(unsigned), relations_ord = 0, unsigned = without_relations(unsigned)
  where unsigned like '%"m.relations"%';
update older set relations = stored_relations(unsigned), relations_ord = 0, unsigned = without_relations(unsigned)
  where unsigned like '%"m.relations"%';
update state set unsigned = without_relations(unsigned) where unsigned like '%"m.relations"%';
update members set unsigned = without_relations(unsigned) where unsigned like '%"m.relations"%';
drop function stored_relation(text);
drop function without_relations(text);
drop function stored_relations(text);
