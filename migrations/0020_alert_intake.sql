-- Why: what happens to a finding before somebody sees it: further hits, risk, suppression, correlation into groups, merging.
-- Locks: none on tables that exist, but for the moment in which triggers are added to moonpay_compliance_alerts.
-- Older program: runs on; what it inserts is correlated and suppressed like everything else.
-- Long because: the steps share their functions, and each would be a migration of its own otherwise.

create function moonguard.worse_severity(p_one text, p_other text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return ('{low,medium,high,critical}'::text[])[greatest(
    array_position('{low,medium,high,critical}', p_one), array_position('{low,medium,high,critical}', p_other))];
end
$$;
create function moonguard.worse_risk_level(p_one text, p_other text) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return ('{low,medium,high,extreme}'::text[])[greatest(
    array_position('{low,medium,high,extreme}', p_one), array_position('{low,medium,high,extreme}', p_other))];
end
$$;

-- Risk.

create function moonguard.risk_level(p_score integer, p_settings moonguard.alert_settings) returns text
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return case when p_score >= p_settings.band_extreme then 'extreme' when p_score >= p_settings.band_high then 'high'
    when p_score >= p_settings.band_medium then 'medium' when p_score >= 0 then 'low' end;
end
$$;
create or replace function moonguard.risk_level(p_score integer) returns text
language sql stable parallel safe set search_path = '' as $$
  select moonguard.risk_level(p_score, s) from moonguard.alert_settings s
$$;
comment on function moonguard.risk_level(integer) is 'The level of a score, by the bands of moonguard.alert_settings.';

create function moonguard.keep_risk_consistent() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_settings moonguard.alert_settings;
  v_band text;
begin
  select * into strict v_settings from moonguard.alert_settings;
  v_band := moonguard.risk_level(new.risk_score, v_settings);
  if tg_op = 'UPDATE' then
    if new.risk_score is not distinct from old.risk_score and new.risk_level is not distinct from old.risk_level then
      -- The severity alone is somebody's judgement.
      return new;
    end if;
    -- A level that came from the score follows it, down as well; one that somebody gave stays.
    if new.risk_level is not distinct from old.risk_level
        and old.risk_level is not distinct from moonguard.risk_level(old.risk_score, v_settings) then
      new.risk_level := v_band;
    end if;
  end if;
  -- A word that is none of the four is left to the table's check.
  if new.risk_level is null or new.risk_level in ('low', 'medium', 'high', 'extreme') then
    new.risk_level := moonguard.worse_risk_level(new.risk_level, v_band);
  end if;
  if new.severity in ('low', 'medium', 'high', 'critical') then
    new.severity := moonguard.worse_severity(new.severity,
      case new.risk_level when 'extreme' then v_settings.severity_floor_extreme when 'high' then v_settings.severity_floor_high end);
  end if;
  return new;
end
$$;
create trigger alert_before_2_risk before insert or update of severity, risk_score, risk_level on public.moonpay_compliance_alerts
  for each row execute function moonguard.keep_risk_consistent();

-- Other bands: what is not decided is seen by them from now on, what is decided stays as it was seen.
create function moonguard.apply_risk_bands() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.moonpay_compliance_alerts a
  set risk_level = case when a.risk_level is not distinct from moonguard.risk_level(a.risk_score, old)
    then moonguard.risk_level(a.risk_score, new) else moonguard.worse_risk_level(a.risk_level, moonguard.risk_level(a.risk_score, new)) end
  where a.status in ('open', 'in_review', 'escalated')
    and moonguard.risk_level(a.risk_score, old) is distinct from moonguard.risk_level(a.risk_score, new);
  return null;
end
$$;
create trigger alert_settings_bands after update of band_medium, band_high, band_extreme on moonguard.alert_settings
  for each row execute function moonguard.apply_risk_bands();

create table moonguard.alert_templates (
  alert_type text primary key,
  recommended_actions text[] not null
);
comment on table moonguard.alert_templates is 'What to do about an alert of a type, where whoever raises it does not say.';
insert into moonguard.alert_templates (alert_type, recommended_actions) values
  ('aml_screening', '{Compare the customer with each candidate of the screening,Check where the funds come from,Escalate a match that cannot be ruled out}'),
  ('sanctions_check', '{Stop open transactions of the customer,"Compare name, date of birth and country with the list entry",Escalate a match that cannot be ruled out; freeze and report as the law says}'),
  ('pep_screening', '{Confirm the office and since when it is held,Check where wealth and funds come from,Let an officer approve the relationship}'),
  ('transaction_monitoring', '{Compare the transaction with what is usual for the customer,Look at related alerts of the customer and the wallet,Ask the customer where it stays unexplained}'),
  ('kyc_verification', '{Read what MoonPay says about the check,Compare with the documents on file,Ask the customer for what is missing}'),
  ('suspicious_activity', '{Do not tell the customer,"Collect transactions, wallets and related alerts",Let an officer decide about a report}'),
  ('risk_threshold', '{Find what raised the score,Check whether limits still fit,Consider enhanced due diligence}'),
  ('policy_violation', '{Read the log row of the violation,Decide whether an exception is justified,Correct what made it possible}'),
  ('document_verification', '{Check that the document is genuine and valid,Compare it with the customer''s data,Ask for another document where it is not}'),
  ('identity_verification', '{Compare name and date of birth with the documents,Check for other accounts of the same person,Ask for another proof of identity}'),
  ('address_verification', '{Compare the address with the proof on file,Check that the country is allowed,Ask for a recent proof of address}');

-- Suppressions.

create table moonguard.alert_suppressions (
  id uuid primary key default moonguard.uuid_v7(),
  customer_id text not null,
  alert_type text not null,
  fingerprint text,
  reason text not null,
  requested_by text not null,
  approved_by text,
  approved_at timestamptz,
  expires_at timestamptz not null,
  facts_digest text,
  ended_at timestamptz,
  ended_by text,
  ended_reason text,
  created_at timestamptz not null default now(),
  constraint alert_suppressions_customer_id_check check (length(customer_id) between 1 and 500),
  constraint alert_suppressions_alert_type_check check (alert_type in ('aml_screening', 'sanctions_check', 'pep_screening', 'transaction_monitoring',
    'kyc_verification', 'suspicious_activity', 'risk_threshold', 'policy_violation', 'document_verification', 'identity_verification', 'address_verification')),
  constraint alert_suppressions_fingerprint_check check (length(fingerprint) between 1 and 500),
  constraint alert_suppressions_reason_check check (reason ~ '\S' and octet_length(reason) <= 65536),
  constraint alert_suppressions_ended_reason_check check (ended_reason ~ '\S' and octet_length(ended_reason) <= 65536),
  constraint alert_suppressions_approval_check check (
    num_nulls(approved_by, approved_at) in (0, 2) and lower(trim(approved_by)) <> lower(trim(requested_by)))
);
create index alert_suppressions_open_idx on moonguard.alert_suppressions (customer_id, alert_type) where ended_at is null;
create index alert_suppressions_expiry_idx on moonguard.alert_suppressions (expires_at) where ended_at is null;
comment on table moonguard.alert_suppressions is
  'Findings about a customer that are known and need nobody: alerts about them are dismissed as they come, until it expires or the customer''s facts change.';
comment on column moonguard.alert_suppressions.fingerprint is 'Which finding; null: any of the type.';
comment on column moonguard.alert_suppressions.facts_digest is 'What was known of the customer when it was approved: moonguard.customer_facts.';
comment on column moonguard.alert_suppressions.ended_by is 'Null where it ended by itself.';

-- Not when a check was made or under which id: the same result again is no other fact.
create function moonguard.customer_facts(p_customer_id text) returns text
language sql stable set search_path = '' as $$
  select encode(sha256(convert_to((
    select jsonb_object_agg(fact.key, fact.value)::text from jsonb_each(to_jsonb(c)) fact
    where fact.key in ('first_name', 'last_name', 'date_of_birth', 'address', 'kyc_level', 'identity_verification_status',
      'kyc_result', 'kyc_reject_type', 'kyc_checked_level')), 'UTF8')), 'hex')
  from public.moonpay_customers c
  where c.moonpay_customer_id = p_customer_id or c.external_customer_id = p_customer_id
  order by c.moonpay_customer_id is distinct from p_customer_id
  limit 1
$$;
comment on function moonguard.customer_facts(text) is 'A digest of what is known of a customer; null: nothing.';

create function moonguard.alert_suppression_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_actor text := moonguard.current_actor();
  v_verified boolean := moonguard.claims() ? 'sub';
begin
  if tg_op = 'INSERT' then
    new.requested_by := case when v_verified then v_actor else coalesce(new.requested_by, v_actor) end;
    -- Approved in a step of its own, by somebody else.
    new.approved_by := null; new.approved_at := null; new.facts_digest := null;
    new.ended_at := null; new.ended_by := null; new.ended_reason := null;
    if new.expires_at <= clock_timestamp() then
      raise exception using errcode = 'check_violation', constraint = 'alert_suppressions_expires_at_check', message = 'expires_at is past';
    end if;
    return new;
  end if;

  if old.ended_at is not null then
    raise exception using errcode = 'check_violation', constraint = 'alert_suppressions_ended',
      message = 'the suppression has ended', hint = 'Request another one.';
  end if;
  if (new.id, new.customer_id, new.alert_type, new.fingerprint, new.reason, new.requested_by, new.expires_at, new.created_at)
      is distinct from (old.id, old.customer_id, old.alert_type, old.fingerprint, old.reason, old.requested_by, old.expires_at, old.created_at)
      or old.approved_by is not null and new.approved_by is distinct from old.approved_by then
    raise exception using errcode = 'check_violation', constraint = 'alert_suppressions_content',
      message = 'what was requested and approved stays as it is', hint = 'End the suppression and request another one.';
  end if;
  new.approved_at := old.approved_at;
  new.facts_digest := old.facts_digest;
  if new.approved_by is distinct from old.approved_by then
    if v_verified then
      new.approved_by := v_actor;
    end if;
    if lower(trim(new.approved_by)) in ('system', lower(trim(old.requested_by))) then
      raise exception using errcode = 'check_violation', constraint = 'alert_suppressions_second_person',
        message = format('%s requested it: another person approves', old.requested_by);
    end if;
    if old.expires_at <= clock_timestamp() then
      raise exception using errcode = 'check_violation', constraint = 'alert_suppressions_ended', message = 'the suppression has expired',
        hint = 'Request another one.';
    end if;
    new.approved_at := clock_timestamp();
    new.facts_digest := moonguard.customer_facts(old.customer_id);
  end if;
  -- Nobody but the owner can write ended_at: then it ended by itself.
  if new.ended_at is null then
    new.ended_at := case when new.ended_reason is not null then clock_timestamp() end;
    new.ended_by := case when new.ended_reason is not null then coalesce(v_actor, session_user) end;
  end if;
  return new;
end
$$;
create trigger alert_suppression_before_write before insert or update on moonguard.alert_suppressions
  for each row execute function moonguard.alert_suppression_before_write();

create function moonguard.suppression_holds(p_suppression moonguard.alert_suppressions) returns boolean
language sql stable set search_path = '' as $$
  select p_suppression.approved_at is not null and p_suppression.ended_at is null and p_suppression.expires_at > clock_timestamp()
    and p_suppression.facts_digest is not distinct from moonguard.customer_facts(p_suppression.customer_id)
$$;

-- Ends what expired and what was approved on other facts. Whoever raises an alert calls it for the customer and waits for nobody.
create function moonguard.end_suppressions(p_now timestamptz default now(), p_customer_id text default null) returns integer
language plpgsql set search_path = '' as $$
declare
  v_ended integer;
begin
  update moonguard.alert_suppressions s
  set ended_at = p_now, ended_reason = case when s.expires_at <= p_now then 'it expired' else 'the facts of the customer changed' end
  where s.id = any (array(
    select over.id from moonguard.alert_suppressions over
    where over.ended_at is null and (p_customer_id is null or over.customer_id = p_customer_id)
      and (over.expires_at <= p_now
        or over.approved_at is not null and over.facts_digest is distinct from moonguard.customer_facts(over.customer_id))
    for no key update skip locked));
  get diagnostics v_ended = row_count;
  return v_ended;
end
$$;
comment on function moonguard.end_suppressions(timestamptz, text) is
  'Ends the suppressions that expired or whose customer is not what they were approved on; returns how many.';

create function moonguard.suppression_for(p_alert public.moonpay_compliance_alerts) returns uuid
language plpgsql set search_path = '' as $$
declare
  v_suppression moonguard.alert_suppressions;
begin
  for v_suppression in
    select * from moonguard.alert_suppressions s
    where s.customer_id = p_alert.customer_id and s.alert_type = p_alert.alert_type and s.approved_at is not null and s.ended_at is null
      and (s.fingerprint is null or s.fingerprint = p_alert.fingerprint)
    order by s.id
  loop
    if moonguard.suppression_holds(v_suppression) then
      return v_suppression.id;
    end if;
    perform moonguard.end_suppressions(clock_timestamp(), p_alert.customer_id);
  end loop;
  return null;
end
$$;

-- Groups: alerts about one matter. The group of an alert is named by the id of its first; what turns out to be one matter is joined.

create table moonguard.alert_group_joins (
  group_id uuid primary key,
  into_group_id uuid not null,
  joined_by text,
  joined_at timestamptz not null default now(),
  -- The younger into the older, so that there is no circle.
  constraint alert_group_joins_order_check check (into_group_id < group_id)
);
create index alert_group_joins_into_idx on moonguard.alert_group_joins (into_group_id);
comment on table moonguard.alert_group_joins is 'Groups of alerts that turned out to be one.';

create function moonguard.group_root(p_group uuid) returns uuid
language plpgsql stable set search_path = '' as $$
declare
  v_root uuid := p_group;
  v_into uuid;
begin
  loop
    select j.into_group_id into v_into from moonguard.alert_group_joins j where j.group_id = v_root;
    exit when not found;
    v_root := v_into;
  end loop;
  return v_root;
end
$$;
comment on function moonguard.group_root(uuid) is 'The group that a group is part of by now.';

create function moonguard.alerts_of_group(p_group uuid) returns setof public.moonpay_compliance_alerts
language sql stable set search_path = '' as $$
  with recursive parts (id) as (
    select moonguard.group_root(p_group)
    union
    select j.group_id from parts join moonguard.alert_group_joins j on j.into_group_id = parts.id
  )
  select a.* from public.moonpay_compliance_alerts a where a.group_id = any (array(select id from parts))
  union all
  select a.* from public.moonpay_compliance_alerts a where a.id = any (array(select id from parts)) and a.group_id is null
$$;
comment on function moonguard.alerts_of_group(uuid) is 'The alerts of a group, under any name that it has or had.';

create function moonguard.join_groups(p_one uuid, p_other uuid) returns void
language plpgsql set search_path = '' as $$
declare
  v_one uuid;
  v_other uuid;
begin
  -- Another transaction may have joined one of them elsewhere meanwhile: then its new root is joined.
  for v_attempt in 1..20 loop
    v_one := moonguard.group_root(p_one);
    v_other := moonguard.group_root(p_other);
    exit when v_one = v_other;
    insert into moonguard.alert_group_joins (group_id, into_group_id, joined_by)
    values (greatest(v_one, v_other), least(v_one, v_other), coalesce(moonguard.current_actor(), session_user))
    on conflict do nothing;
  end loop;
end
$$;

create table moonguard.alert_link_repairs (
  id bigint generated always as identity primary key,
  alert_id uuid not null,
  related text,
  noted_at timestamptz not null default clock_timestamp(),
  constraint alert_link_repairs_key unique nulls not distinct (alert_id, related)
);
comment on table moonguard.alert_link_repairs is 'Links that the schedule completes, so that raising an alert waits for nobody.';
comment on column moonguard.alert_link_repairs.related is
  'The alert_id of a row that somebody else was changing; null: others were raising alerts about the same at that moment, which none could see of the other.';

-- The newest of the same customer, wallet, transaction or correlation id around the time of the alert, five of each: their group has
-- the others. One that is full gets no further links, only its group grows: when a year's alerts are brought in backwards, every one
-- of them finds the same five. A plan that is kept: made anew for each alert, it took longer than the search.
create function moonguard.find_matter(p_alert public.moonpay_compliance_alerts, out links text[], out groups uuid[])
language plpgsql stable set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
declare
  v_days integer := (select s.correlation_days from moonguard.alert_settings s);
  v_from timestamptz := p_alert.triggered_at - make_interval(days => v_days);
  v_to timestamptz := p_alert.triggered_at + make_interval(days => v_days);
begin
  if v_days = 0 then
    return;
  end if;
  select array_agg(alike.alert_id) filter (where not alike.is_full and alike.alert_id <> all (p_alert.related_alerts)), array_agg(alike.group_id)
  into links, groups from (
    (select a.id, a.alert_id, coalesce(a.group_id, a.id) as group_id, cardinality(a.related_alerts) >= 100 as is_full, a.triggered_at from public.moonpay_compliance_alerts a
      where a.customer_id = p_alert.customer_id and a.id <> p_alert.id and a.triggered_at between v_from and v_to
      order by a.triggered_at desc limit 5)
    union
    (select a.id, a.alert_id, coalesce(a.group_id, a.id), cardinality(a.related_alerts) >= 100, a.triggered_at from public.moonpay_compliance_alerts a
      where a.wallet_address = p_alert.wallet_address and a.id <> p_alert.id and a.triggered_at between v_from and v_to
      order by a.triggered_at desc limit 5)
    union
    (select a.id, a.alert_id, coalesce(a.group_id, a.id), cardinality(a.related_alerts) >= 100, a.triggered_at from public.moonpay_compliance_alerts a
      where a.transaction_id = p_alert.transaction_id and a.id <> p_alert.id and a.triggered_at between v_from and v_to
      order by a.triggered_at desc limit 5)
    union
    (select a.id, a.alert_id, coalesce(a.group_id, a.id), cardinality(a.related_alerts) >= 100, a.triggered_at from public.moonpay_compliance_alerts a
      where a.correlation_id = p_alert.correlation_id and a.id <> p_alert.id and a.triggered_at between v_from and v_to
      order by a.triggered_at desc limit 5)
    order by triggered_at desc, id desc
  ) alike;
end
$$;

-- Whether nobody else is raising an alert about the same at this moment. Asks without waiting, and not on: one who does will find this
-- alert. Few locks whatever a transaction raises: where two matters share one, a link is looked for twice.
create function moonguard.claim_matter(p_alert public.moonpay_compliance_alerts) returns boolean
language plpgsql set search_path = '' as $$
declare
  v_space integer := hashtext('moonguard.alert_matter');
begin
  return (p_alert.customer_id is null or pg_try_advisory_xact_lock(v_space, hashtext('customer:' || p_alert.customer_id) & 511))
    and (p_alert.wallet_address is null or pg_try_advisory_xact_lock(v_space, hashtext('wallet:' || p_alert.wallet_address) & 511))
    and (p_alert.transaction_id is null or pg_try_advisory_xact_lock(v_space, hashtext('transaction:' || p_alert.transaction_id) & 511))
    and (p_alert.correlation_id is null or pg_try_advisory_xact_lock(v_space, hashtext('correlation:' || p_alert.correlation_id) & 511));
end
$$;

create function moonguard.take_in_alert() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_suppression moonguard.alert_suppressions;
  v_matter record;
  v_groups uuid[];
begin
  -- Where programs from before these columns say it. What is no identifier is none.
  if length(new.metadata ->> 'correlationId') between 1 and 500 then
    new.correlation_id := coalesce(new.correlation_id, new.metadata ->> 'correlationId');
  end if;
  if length(new.details ->> 'walletAddress') between 1 and 500 then
    new.wallet_address := coalesce(new.wallet_address, new.details ->> 'walletAddress');
  end if;
  if new.entity_type is null and new.entity_id is null then
    new.entity_type := case when new.transaction_id is not null then 'transaction' when new.customer_id is not null then 'customer' end;
    new.entity_id := coalesce(new.transaction_id, new.customer_id);
  end if;
  if cardinality(new.recommended_actions) = 0 then
    new.recommended_actions := coalesce(
      (select t.recommended_actions from moonguard.alert_templates t where t.alert_type = new.alert_type), new.recommended_actions);
  end if;
  new.merged_into := null;
  new.suppression_id := case when new.status = 'open' and new.customer_id is not null then moonguard.suppression_for(new) end;
  if new.suppression_id is not null then
    select * into v_suppression from moonguard.alert_suppressions s where s.id = new.suppression_id;
    new.status := 'dismissed';
    new.resolved_by := v_suppression.approved_by;
    new.resolution_notes := 'Suppressed: ' || v_suppression.reason;
  end if;

  if not moonguard.claim_matter(new) then
    insert into moonguard.alert_link_repairs (alert_id) values (new.id) on conflict do nothing;
  end if;
  new.related_alerts := coalesce(new.related_alerts, '{}');
  v_matter := moonguard.find_matter(new);
  new.related_alerts := new.related_alerts || v_matter.links;
  new.group_id := null;
  if v_matter.groups is not null then
    v_groups := array(select distinct moonguard.group_root(group_id) as root from unnest(v_matter.groups) as group_id order by root);
    new.group_id := v_groups[1];
    if cardinality(v_groups) > 1 then
      perform moonguard.join_groups(new.group_id, other) from unnest(v_groups[2:]) as other;
    end if;
  end if;
  return new;
end
$$;
create trigger alert_before_1_intake before insert on public.moonpay_compliance_alerts
  for each row execute function moonguard.take_in_alert();

-- The other direction of a new alert's links, in the rows that nobody else is changing; the schedule does the others. A plan for
-- each alert, with its links as constants, took a tenth of the time of raising it.
create function moonguard.link_back() returns trigger
language plpgsql security definer
set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
begin
  with free as materialized (
    select a.ctid, a.alert_id from public.moonpay_compliance_alerts a where a.alert_id = any (new.related_alerts)
    order by a.id for no key update skip locked
  ), linked as (
    -- By their place: locked rows stay where they are.
    update public.moonpay_compliance_alerts a set related_alerts = a.related_alerts || new.alert_id
    from free where a.ctid = free.ctid and new.alert_id <> all (a.related_alerts)
  )
  insert into moonguard.alert_link_repairs (alert_id, related)
  select new.id, related from unnest(new.related_alerts) as related where related not in (select free.alert_id from free)
  on conflict do nothing;
  return null;
end
$$;
create trigger alert_after_3_links after insert on public.moonpay_compliance_alerts
  for each row when (cardinality(new.related_alerts) > 0) execute function moonguard.link_back();

-- What follows from links that a statement set, whoever set them: their entries in the timelines and the joining of groups. For
-- all rows of the statement at once, because several older alerts are linked with a new one: an entry in a statement of its own takes
-- four times as long. The settings are there for its plan, which PostgreSQL makes once and keeps: a full join of the rows, then
-- alerts by their name, however many rows the first statement had.
create function moonguard.note_links() returns trigger
language plpgsql security definer
set search_path = '' set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' set jit = 'off' as $$
declare
  v_actor text := coalesce(moonguard.current_actor(), session_user);
  v_joined bigint;
begin
  with changed as (
    select later.id, coalesce(later.group_id, later.id) as group_id, later.version, later.status, earlier.related_alerts as before, later.related_alerts as after,
      (later.version, later.group_id, later.queue, later.deadline_step, later.next_step_at)
        is not distinct from (earlier.version, earlier.group_id, earlier.queue, earlier.deadline_step, earlier.next_step_at) as is_all
    from earlier full join later on later.id = earlier.id
    where later.related_alerts is distinct from earlier.related_alerts
  ), noted as (
    insert into moonguard.alert_timeline (alert_id, alert_version, actor, action, from_status, to_status, before, after)
    select id, version, v_actor, 'changed', status, status, jsonb_build_object('related_alerts', before), jsonb_build_object('related_alerts', after)
    -- With other columns it is in the entry of alert_after_1_timeline_changed.
    from changed where is_all
  )
  select count(moonguard.join_groups(changed.group_id, coalesce(a.group_id, a.id))) into v_joined
  from changed
  -- Most are appended to what was there.
  cross join unnest(case when after[:cardinality(before)] = before then after[cardinality(before) + 1:] else after end) as added
  join public.moonpay_compliance_alerts a on a.alert_id = added
  where coalesce(a.group_id, a.id) <> changed.group_id;
  return null;
end
$$;
create trigger alert_after_3_links_changed after update on public.moonpay_compliance_alerts
  referencing old table as earlier new table as later for each statement execute function moonguard.note_links();

-- One direction of links, for the schedule: waits for nobody.
create function moonguard.repair_alert_links(p_now timestamptz default now(), p_limit integer default 500) returns integer
language plpgsql set search_path = '' as $$
declare
  v_repair record;
  v_alert public.moonpay_compliance_alerts;
  v_found text[];
  v_repaired integer := 0;
begin
  for v_repair in
    select r.alert_id, r.related from moonguard.alert_link_repairs r
    -- Whoever was raising an alert then is done a minute later.
    where r.related is not null or r.noted_at <= p_now - interval '1 minute'
    order by r.noted_at limit p_limit for update skip locked
  loop
    select * into v_alert from public.moonpay_compliance_alerts a where a.id = v_repair.alert_id for no key update skip locked;
    continue when not found and exists (select from public.moonpay_compliance_alerts a where a.id = v_repair.alert_id);
    if v_repair.related is null then
      select links into v_found from moonguard.find_matter(v_alert);
      if v_found is not null then
        update public.moonpay_compliance_alerts a set related_alerts = a.related_alerts || v_found where a.id = v_alert.id;
        insert into moonguard.alert_link_repairs (alert_id, related) select v_alert.id, alert_id from unnest(v_found) as alert_id on conflict do nothing;
      end if;
    else
      perform from public.moonpay_compliance_alerts a where a.alert_id = v_repair.related for no key update skip locked;
      continue when not found and exists (select from public.moonpay_compliance_alerts a where a.alert_id = v_repair.related);
      update public.moonpay_compliance_alerts a set related_alerts = a.related_alerts || v_alert.alert_id
      -- Somebody may have taken the link back meanwhile.
      where a.alert_id = v_repair.related and v_repair.related = any (v_alert.related_alerts) and v_alert.alert_id <> all (a.related_alerts);
    end if;
    delete from moonguard.alert_link_repairs r where r.alert_id = v_repair.alert_id and r.related is not distinct from v_repair.related;
    v_repaired := v_repaired + 1;
  end loop;
  return v_repaired;
end
$$;
comment on function moonguard.repair_alert_links(timestamptz, integer) is 'Completes the links that alerts could not be given while they were raised; returns how many.';

-- Merging: one piece of work. The lead is moved and assigned; the others follow it.

create function moonguard.check_merge() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_lead public.moonpay_compliance_alerts;
  v_refusal text;
begin
  if new.merged_into is not distinct from old.merged_into or new.merged_into is null then
    return new;
  end if;
  select * into v_lead from public.moonpay_compliance_alerts a where a.id = new.merged_into for no key update;
  v_refusal := case
    when v_lead.id is null then 'there is no such alert'
    when v_lead.id = new.id then 'an alert is not merged into itself'
    when v_lead.merged_into is not null then format('%s is merged into another one itself', v_lead.alert_id)
    when v_lead.status not in ('open', 'in_review', 'escalated') then format('%s is %s', v_lead.alert_id, v_lead.status)
    when old.status not in ('open', 'in_review', 'escalated') then format('%s is %s', old.alert_id, old.status)
    when exists (select from public.moonpay_compliance_alerts a where a.merged_into = new.id) then format('others are merged into %s', old.alert_id)
  end;
  if v_refusal is not null then
    raise exception using errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_merged', message = v_refusal,
      hint = 'Merge alerts that nobody has decided into one of them.';
  end if;
  return new;
end
$$;
create trigger alert_before_1_merge before update of merged_into on public.moonpay_compliance_alerts
  for each row execute function moonguard.check_merge();
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_merged_into_idx', '(merged_into) where merged_into is not null');

create function moonguard.carry_to_merged() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.merged_into is not null then
    if old.merged_into is null then
      perform moonguard.join_groups(coalesce(new.group_id, new.id), coalesce(lead.group_id, lead.id))
      from public.moonpay_compliance_alerts lead where lead.id = new.merged_into;
    end if;
    update public.moonpay_compliance_alerts lead set
      severity = moonguard.worse_severity(lead.severity, new.severity), risk_score = greatest(lead.risk_score, new.risk_score),
      risk_level = moonguard.worse_risk_level(lead.risk_level, new.risk_level)
    where lead.id = new.merged_into and lead.status in ('open', 'in_review', 'escalated')
      and (lead.severity, lead.risk_score, lead.risk_level) is distinct from (moonguard.worse_severity(lead.severity, new.severity),
        greatest(lead.risk_score, new.risk_score), moonguard.worse_risk_level(lead.risk_level, new.risk_level));
    return null;
  end if;

  if new.assigned_to is distinct from old.assigned_to then
    update public.moonpay_compliance_alerts a set assigned_to = new.assigned_to
    where a.merged_into = new.id and a.assigned_to is distinct from new.assigned_to;
  end if;
  if new.status <> old.status then
    update public.moonpay_compliance_alerts a set
      status = new.status, status_reason = new.status_reason, reviewed_by = new.reviewed_by, escalated_to = new.escalated_to,
      resolved_by = new.resolved_by, resolution_notes = new.resolution_notes
    where a.merged_into = new.id
      and exists (select from moonguard.alert_moves m where m.from_status = a.status and m.to_status = new.status)
      -- Reopened, it would be the second one of its cause.
      and not exists (select from public.moonpay_compliance_alerts other
        where other.dedupe_key = a.dedupe_key and other.id <> a.id and other.status in ('open', 'in_review', 'escalated'));
  end if;
  return null;
end
$$;
create trigger alert_after_5_merged after update of status, assigned_to, severity, risk_score, risk_level, merged_into on public.moonpay_compliance_alerts
  for each row execute function moonguard.carry_to_merged();

-- Hits: an alert's first, and every further one of the same cause.

create table moonguard.alert_hits (
  id uuid primary key default moonguard.uuid_v7(),
  hit_number bigint generated always as identity,
  alert_id uuid not null references public.moonpay_compliance_alerts (id),
  is_first boolean not null default false,
  at timestamptz not null default clock_timestamp(),
  raised_by text not null default coalesce(moonguard.current_actor(), session_user),
  severity text not null,
  risk_score integer,
  risk_level text,
  title text not null,
  description text,
  details jsonb not null default '{}',
  screening_results jsonb,
  source text,
  external_reference text,
  correlation_id text,
  wallet_address text,
  fingerprint text,
  metadata jsonb not null default '{}',
  constraint alert_hits_severity_check check (severity in ('low', 'medium', 'high', 'critical')),
  constraint alert_hits_risk_score_check check (risk_score between 0 and 100),
  constraint alert_hits_risk_level_check check (risk_level in ('low', 'medium', 'high', 'extreme')),
  constraint alert_hits_title_check check (octet_length(title) <= 65536 and title ~ '\S'),
  constraint alert_hits_description_check check (octet_length(description) <= 65536)
);
create index alert_hits_alert_idx on moonguard.alert_hits (alert_id, hit_number);
comment on table moonguard.alert_hits is 'What an alert stands for, append-only: the finding it was raised for and every further one, as they came.';
comment on column moonguard.alert_hits.is_first is 'The alert''s own; every other one counts on it.';
create trigger alert_hits_append_only before update or delete on moonguard.alert_hits for each row execute function moonguard.refuse_change();
create trigger alert_hits_no_truncate before truncate on moonguard.alert_hits for each statement execute function moonguard.refuse_change();

-- 256 KiB of JSON, as src/input/fields.ts has it: without the blanks that PostgreSQL writes after each : and comma. The checks of
-- the tables, which an adopted row may break, leave room for those.
create function moonguard.json_bytes(p_json jsonb) returns integer
language sql immutable parallel safe set search_path = '' as $$
  select octet_length(p_json::text) - coalesce(sum(case jsonb_typeof(part)
    when 'object' then 2 * (select count(*) from jsonb_object_keys(part)) - 1 else jsonb_array_length(part) - 1 end), 0)::integer
  from jsonb_path_query(p_json, 'strict $.** ? (@.type() == "object" || @.type() == "array")') as part
  where part not in ('{}', '[]')
$$;
create function moonguard.refuse_long_json() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_field text;
begin
  select field.name into v_field from (values ('details', new.details), ('metadata', new.metadata), ('screening_results', new.screening_results)) as field (name, given)
  where octet_length(given::text) > 262144 and moonguard.json_bytes(given) > 262144 limit 1;
  if found then
    raise exception using errcode = 'check_violation', constraint = format('moonpay_compliance_alerts_%s_check', v_field),
      message = format('%s: at most 262144 bytes of JSON', v_field);
  end if;
  return new;
end
$$;
create trigger alert_before_0_json before insert or update of details, metadata, screening_results on public.moonpay_compliance_alerts
  for each row when (octet_length(new.details::text) > 262144 or octet_length(new.metadata::text) > 262144
    or octet_length(new.screening_results::text) > 262144)
  execute function moonguard.refuse_long_json();
-- As text, what the limit allows is at most twice as long: no check is needed besides.
create trigger alert_hit_json before insert on moonguard.alert_hits
  for each row when (octet_length(new.details::text) > 262144 or octet_length(new.metadata::text) > 262144
    or octet_length(new.screening_results::text) > 262144)
  execute function moonguard.refuse_long_json();

create function moonguard.note_first_hit() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.alert_hits (alert_id, is_first, severity, risk_score, risk_level, title, description, details, screening_results,
    source, external_reference, correlation_id, wallet_address, fingerprint, metadata)
  values (new.id, true, new.severity, new.risk_score, new.risk_level, new.title, new.description, coalesce(new.details, '{}'), new.screening_results,
    new.source, new.external_reference, new.correlation_id, new.wallet_address, new.fingerprint, new.metadata);
  return null;
end
$$;
create trigger alert_after_2_hit after insert on public.moonpay_compliance_alerts
  for each row execute function moonguard.note_first_hit();

-- A hit makes its alert worse, never better.
create function moonguard.count_hit() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  -- The lead first, as a move locks them.
  perform from public.moonpay_compliance_alerts lead
  where lead.id = (select a.merged_into from public.moonpay_compliance_alerts a where a.id = new.alert_id) for no key update;
  update public.moonpay_compliance_alerts a set
    occurrence_count = a.occurrence_count + 1,
    severity = moonguard.worse_severity(a.severity, new.severity),
    risk_score = greatest(a.risk_score, new.risk_score),
    risk_level = moonguard.worse_risk_level(a.risk_level, new.risk_level)
  where a.id = new.alert_id and (a.status in ('open', 'in_review', 'escalated')
    or exists (select from moonguard.alert_suppressions s where s.id = a.suppression_id and moonguard.suppression_holds(s)));
  if not found then
    raise exception using errcode = 'MG001', message = 'the alert is decided: a further hit is another alert', hint = 'Call moonguard.raise_alert.';
  end if;
  return null;
end
$$;
create trigger alert_hit_counts after insert on moonguard.alert_hits
  for each row when (not new.is_first) execute function moonguard.count_hit();

select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_suppressed_key_idx',
  '(dedupe_key, id) where suppression_id is not null');

-- As src/compliance/screening.ts has it. Asked of new alerts only: what older programs wrote stays as it is.
create function moonguard.screening_results_are_valid(p_results jsonb) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select jsonb_typeof(p_results) = 'array' and not exists (
    select from jsonb_array_elements(p_results) as screening
    where not coalesce(jsonb_typeof(screening -> 'provider') = 'string' and jsonb_typeof(screening -> 'list') = 'string'
      and jsonb_typeof(screening -> 'listDate') = 'string' and screening ->> 'listDate' ~ '^\d{4}-\d\d-\d\d$'
      and jsonb_typeof(screening -> 'query' -> 'name') = 'string' and jsonb_typeof(screening -> 'candidates') = 'array'
      and not exists (
        select from jsonb_array_elements(case jsonb_typeof(screening -> 'candidates') when 'array' then screening -> 'candidates' else '[]' end) as candidate
        where not coalesce(jsonb_typeof(candidate -> 'name') = 'string' and jsonb_typeof(candidate -> 'reasons') = 'array'
          and candidate @@ '$.score >= 0 && $.score <= 1', false)), false))
$$;
-- Other entries of a list, or the same ones under other names, are another finding; a newer issue of the list is not.
create function moonguard.screening_fingerprint(p_results jsonb) returns text
language sql immutable parallel safe set search_path = '' as $$
  select 'screening:' || encode(sha256(convert_to(string_agg(distinct entry, e'\n' order by entry), 'UTF8')), 'hex')
  from jsonb_array_elements(p_results) as screening
  cross join jsonb_array_elements(screening -> 'candidates') as candidate
  cross join lateral (values (jsonb_build_array(screening -> 'list', candidate -> 'entryId', candidate -> 'name')::text)) as found (entry)
$$;

create function moonguard.raise_alert(p_alert jsonb, p_actor text default null) returns setof public.moonpay_compliance_alerts
language plpgsql set search_path = '' as $$
declare
  v_fields constant text[] := '{alert_type,severity,title,description,customer_id,transaction_id,entity_type,entity_id,wallet_address,correlation_id,fingerprint,
    risk_score,risk_level,details,screening_results,recommended_actions,assigned_to,auto_generated,source,external_reference,metadata,triggered_at,
    due_at,dedupe_key}';
  v_new public.moonpay_compliance_alerts := jsonb_populate_record(null::public.moonpay_compliance_alerts, p_alert);
  v_actor_before text := coalesce(current_setting('moonguard.actor', true), '');
  v_actor text := set_config('moonguard.actor', coalesce(p_actor, v_actor_before), true);
  v_id uuid;
begin
  if p_alert - v_fields <> '{}' then
    raise exception using errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_unknown_field',
      message = format('an alert has no %s', (select string_agg(key, ', ' order by key) from jsonb_object_keys(p_alert - v_fields) as key)),
      hint = 'It has ' || array_to_string(v_fields, ', ') || '.';
  end if;
  v_new.severity := coalesce(v_new.severity, 'medium');
  v_new.details := coalesce(v_new.details, '{}');
  v_new.metadata := coalesce(v_new.metadata, '{}');
  if v_new.screening_results is not null then
    if jsonb_typeof(v_new.screening_results) = 'object' then
      v_new.screening_results := jsonb_build_array(v_new.screening_results);
    end if;
    if not moonguard.screening_results_are_valid(v_new.screening_results) then
      raise exception using errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_screening_results_check',
        message = 'screening_results is not as documented',
        hint = 'One object a list: provider, list, listDate (YYYY-MM-DD), query with a name, candidates with name, score (0 to 1) and reasons.';
    end if;
    v_new.fingerprint := coalesce(v_new.fingerprint, moonguard.screening_fingerprint(v_new.screening_results));
  end if;

  <<attempts>>
  for v_attempt in 1..10 loop
    v_id := null;
    if v_new.dedupe_key is not null then
      select a.id into v_id from public.moonpay_compliance_alerts a
      where a.dedupe_key = v_new.dedupe_key and a.status in ('open', 'in_review', 'escalated');
      if not found then
        select a.id into v_id from public.moonpay_compliance_alerts a
        where a.dedupe_key = v_new.dedupe_key and a.suppression_id is not null order by a.id desc limit 1;
      end if;
    end if;
    if v_id is not null then
      begin
        insert into moonguard.alert_hits (alert_id, severity, risk_score, risk_level, title, description, details, screening_results,
          source, external_reference, correlation_id, wallet_address, fingerprint, metadata)
        values (v_id, v_new.severity, v_new.risk_score, v_new.risk_level, v_new.title, v_new.description, v_new.details, v_new.screening_results,
          v_new.source, v_new.external_reference, v_new.correlation_id, v_new.wallet_address, v_new.fingerprint, v_new.metadata);
        exit attempts;
      exception when sqlstate 'MG001' then
        -- Somebody decided it at this moment, or its suppression is over: this is another alert.
        null;
      end;
    end if;
    insert into public.moonpay_compliance_alerts (alert_type, severity, title, description, customer_id, transaction_id, entity_type, entity_id,
      wallet_address, correlation_id, fingerprint, risk_score, risk_level, details, screening_results, recommended_actions, assigned_to, auto_generated,
      source, external_reference, metadata, triggered_at, due_at, dedupe_key)
    values (v_new.alert_type, v_new.severity, v_new.title, v_new.description, v_new.customer_id, v_new.transaction_id, v_new.entity_type, v_new.entity_id,
      v_new.wallet_address, v_new.correlation_id, v_new.fingerprint, v_new.risk_score, v_new.risk_level, v_new.details, v_new.screening_results,
      coalesce(v_new.recommended_actions, '{}'), v_new.assigned_to, coalesce(v_new.auto_generated, false),
      v_new.source, v_new.external_reference, v_new.metadata, coalesce(v_new.triggered_at, now()), v_new.due_at, v_new.dedupe_key)
    on conflict (dedupe_key) where status in ('open', 'in_review', 'escalated') do nothing
    returning id into v_id;
    exit attempts when found;
    -- Somebody else raised it at this moment: it counts there.
    if v_attempt = 10 then
      raise exception using errcode = 'serialization_failure', message = 'too many raise the same alert at once', hint = 'Try again.';
    end if;
  end loop;
  v_actor := set_config('moonguard.actor', v_actor_before, true);
  return query select * from public.moonpay_compliance_alerts a where a.id = v_id;
end
$$;
comment on function moonguard.raise_alert(jsonb, text) is
  'Raises an alert given by its columns, or counts a hit on the undecided one with its dedupe_key; returns the alert. p_actor: who raises it, where nobody is signed in.';

-- For supabase-js, which reaches only this schema. With the rights of the caller: whoever may not write alerts is refused the
-- same whether there is an alert with the dedupe_key or not.
create function public.raise_moonpay_compliance_alert(p_alert jsonb, p_actor text default null) returns setof public.moonpay_compliance_alerts
language sql set search_path = '' as $$
  select * from moonguard.raise_alert(p_alert, p_actor)
$$;
comment on function public.raise_moonpay_compliance_alert(jsonb, text) is 'As moonguard.raise_alert: rpc(''raise_moonpay_compliance_alert'', { p_alert }).';

-- Who may do what. A client writes hits, requests and approvals; what follows from them the triggers write.

revoke all on moonguard.alert_templates, moonguard.alert_suppressions, moonguard.alert_group_joins, moonguard.alert_link_repairs, moonguard.alert_hits
  from public, anon, authenticated, service_role;
revoke all on sequence moonguard.alert_hits_hit_number_seq, moonguard.alert_link_repairs_id_seq from public, anon, authenticated, service_role;
revoke all on function moonguard.worse_severity(text, text), moonguard.worse_risk_level(text, text), moonguard.risk_level(integer),
  moonguard.risk_level(integer, moonguard.alert_settings), moonguard.keep_risk_consistent(), moonguard.apply_risk_bands(), moonguard.customer_facts(text),
  moonguard.alert_suppression_before_write(), moonguard.suppression_holds(moonguard.alert_suppressions), moonguard.end_suppressions(timestamptz, text),
  moonguard.suppression_for(public.moonpay_compliance_alerts), moonguard.group_root(uuid), moonguard.alerts_of_group(uuid), moonguard.join_groups(uuid, uuid),
  moonguard.find_matter(public.moonpay_compliance_alerts), moonguard.claim_matter(public.moonpay_compliance_alerts), moonguard.take_in_alert(),
  moonguard.link_back(), moonguard.note_links(), moonguard.repair_alert_links(timestamptz, integer), moonguard.check_merge(), moonguard.carry_to_merged(),
  moonguard.note_first_hit(), moonguard.count_hit(), moonguard.screening_results_are_valid(jsonb), moonguard.screening_fingerprint(jsonb),
  moonguard.json_bytes(jsonb), moonguard.refuse_long_json(), moonguard.raise_alert(jsonb, text), public.raise_moonpay_compliance_alert(jsonb, text)
  from public, anon, authenticated, service_role;
grant execute on function moonguard.raise_alert(jsonb, text), public.raise_moonpay_compliance_alert(jsonb, text), moonguard.screening_results_are_valid(jsonb), moonguard.screening_fingerprint(jsonb),
  moonguard.group_root(uuid), moonguard.alerts_of_group(uuid) to authenticated, service_role;
grant execute on function moonguard.move_customer(text, text, text, text, jsonb, timestamptz) to service_role;

grant select on moonguard.alert_templates, moonguard.alert_suppressions, moonguard.alert_group_joins, moonguard.alert_hits to authenticated, service_role;
grant insert, update on moonguard.alert_templates to authenticated, service_role;
grant insert (alert_id, severity, risk_score, risk_level, title, description, details, screening_results, source, external_reference,
  correlation_id, wallet_address, fingerprint, metadata) on moonguard.alert_hits to authenticated, service_role;
grant insert (customer_id, alert_type, fingerprint, reason, requested_by, expires_at), update (approved_by, ended_reason)
  on moonguard.alert_suppressions to authenticated, service_role;
grant update (merged_into) on public.moonpay_compliance_alerts to authenticated;

alter table moonguard.alert_templates enable row level security;
alter table moonguard.alert_suppressions enable row level security;
alter table moonguard.alert_group_joins enable row level security;
alter table moonguard.alert_link_repairs enable row level security;
alter table moonguard.alert_hits enable row level security;
create policy owner_only on moonguard.alert_link_repairs using (false);
create policy alert_templates_read on moonguard.alert_templates for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_templates_add on moonguard.alert_templates for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy alert_templates_change on moonguard.alert_templates for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy alert_suppressions_read on moonguard.alert_suppressions for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_suppressions_request on moonguard.alert_suppressions for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst')));
create policy alert_suppressions_decide on moonguard.alert_suppressions for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy alert_group_joins_read on moonguard.alert_group_joins for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_hits_read on moonguard.alert_hits for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_hits_add on moonguard.alert_hits for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst')));
