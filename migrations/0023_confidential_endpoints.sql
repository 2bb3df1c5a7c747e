-- Why: what endpoints of compliance and policy events are told, and what is told about them, stays among those that name such
--   events: that one of their deliveries failed tells that there was an alert.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_webhook_config, which has few rows.
-- Older program: runs on.

-- As in 0014; an event about an endpoint that names confidential events goes only to others that do.
create or replace function moonguard.raise_operational_event(p_about uuid, p_name text, p_data jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  v_id uuid := moonguard.uuid_v7();
  v_sequence bigint := nextval('moonguard.event_sequence');
  v_about record;
  v_body jsonb;
begin
  select environment, webhook_id, moonguard.names_confidential(events) as is_confidential into v_about
  from public.moonpay_webhook_config where id = p_about;
  v_body := jsonb_build_object('type', p_name,
    'data', jsonb_build_object('id', v_id, 'webhookId', v_about.webhook_id, 'createdAt', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) || p_data);
  insert into public.moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment, dedupe_key,
    occurred_at, processed, processed_at, sequence)
  values (v_id, p_name, p_name, v_body, convert_to(v_body::text, 'UTF8'), '', v_about.environment, p_name || ':' || v_id, now(), true, now(), v_sequence);
  insert into moonguard.deliveries (event_id, endpoint_id, status, event_sequence)
  select v_id, c.id, case when c.status in ('active', 'suspended') then 'pending' else 'held' end, v_sequence
  from public.moonpay_webhook_config c
  where c.environment = v_about.environment and c.deleted_at is null and c.id <> p_about
    and c.events && array[p_name, split_part(p_name, '.', 1) || '.*', '*']
    and (not v_about.is_confidential or moonguard.names_confidential(c.events));
  perform pg_notify('moonguard_deliveries', '');
end
$$;

-- Its deliveries and counters of the past would come into sight with it.
create constraint trigger moonpay_webhook_config_confidential_check after update of events on public.moonpay_webhook_config
  for each row when (moonguard.names_confidential(old.events) and not moonguard.names_confidential(new.events))
  execute function moonguard.refuse_breach();
