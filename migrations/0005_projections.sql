-- Why: the newest state of a transaction or of a customer's identity check, kept in step with the events as they are stored.
-- Locks: none.
-- Older program: there is none.

-- 0 waiting for the customer, 1 under way, 2 at an end. Lists made by hand have ends of their own.
create function moonguard.transaction_rank(p_status text) returns integer
language plpgsql immutable parallel safe set search_path = '' as $$
begin
  return case
    when p_status in ('completed', 'failed', 'cancelled', 'refunded', 'expired') then 2
    when p_status in ('waitingPayment', 'waitingForDeposit') then 0
    else 1
  end;
end
$$;

-- Sequential scans are off in these functions: they run for a handful of events, and a plan that was cached while the
-- tables were empty would go on reading all of them when they are large. jit is off with them: it would be tried whenever a
-- small table leaves no other way than the scan that counts as endlessly dear. A plan is made once and kept: planning anew
-- gains nothing where every value is looked up by a key.

-- Rows from before Moonguard know their transaction only by external_transaction_id: either side's id. Your own id
-- counts in production alone: in the sandbox anybody can give it to a purchase that costs nothing.
create function moonguard.claim_older_transactions(p_event_ids uuid[]) returns void
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
begin
  if not exists (select from public.moonpay_transactions where moonpay_transaction_id is null) then
    return;
  end if;
  update public.moonpay_transactions t
  set environment = known.environment, moonpay_transaction_id = known.entity_id
  from (
    select distinct on (e.environment, e.entity_id) e.environment, e.entity_id, older.id
    from public.moonpay_webhook_events e
    cross join lateral (values (1, e.entity_id),
      (2, case when e.environment = 'production' then e.event_data -> 'data' ->> 'externalTransactionId' end)) as key (preference, value)
    join public.moonpay_transactions older on older.external_transaction_id = key.value and older.moonpay_transaction_id is null
    where e.id = any (p_event_ids) and e.entity_type = 'transaction'
      and not exists (select from public.moonpay_transactions other
        where other.environment = e.environment and other.moonpay_transaction_id = e.entity_id)
    order by e.environment, e.entity_id, key.preference
  ) known
  where t.id = known.id;
end
$$;

-- For the same reason a row of the sandbox makes way for one of production with the same id of yours.
create function moonguard.free_external_ids(p_event_ids uuid[]) returns void
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
begin
  if not exists (select from public.moonpay_transactions where environment = 'sandbox') then
    return;
  end if;
  -- `= any (array (…))` pins the plan to the unique index.
  update public.moonpay_transactions t
  set external_transaction_id = 'sandbox:' || t.moonpay_transaction_id
  where t.environment is not distinct from 'sandbox' and t.external_transaction_id = any (array(
    select e.event_data -> 'data' ->> 'externalTransactionId' from public.moonpay_webhook_events e
    where e.id = any (p_event_ids) and e.entity_type = 'transaction' and e.environment = 'production'
      and not exists (select from public.moonpay_transactions other
        where other.environment = e.environment and other.moonpay_transaction_id = e.entity_id)));
end
$$;

-- Moves stored transactions forward by the given events; returns the events that came too late to move anything.
-- Set based: one statement a round, a further round only for a transaction that occurs more than once. Rows are
-- locked in the order of their key, so that two batches cannot wait for each other.
create function moonguard.project_transactions(p_event_ids uuid[]) returns setof uuid
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
declare
  v_rounds integer;
  v_has_production boolean;
  -- What new ids begin with, a number follows: as unique as the event's, of which each moves one transaction at most.
  v_series text := left(replace(p_event_ids[1]::text, '-', ''), 26);
begin
  select max(events), bool_or(environment = 'production') into v_rounds, v_has_production
  from (
    select environment, count(*) as events from public.moonpay_webhook_events e
    where e.id = any (p_event_ids) and e.entity_type = 'transaction'
    group by e.environment, e.entity_id
  ) as occurrences;
  if v_rounds is null then
    return;
  end if;
  perform moonguard.claim_older_transactions(p_event_ids);
  if v_has_production then
    perform moonguard.free_external_ids(p_event_ids);
  end if;

  for v_round in 1..v_rounds loop
    return query
    with incoming as (
      select e.id as event_id, e.environment, e.entity_id, e.event_name, e.occurred_at,
        case when jsonb_typeof(e.event_data -> 'data') = 'object' then e.event_data -> 'data' else e.event_data end as data,
        e.event_name like 'sell\_%' as is_sell,
        row_number() over (partition by e.environment, e.entity_id order by e.sequence) as round
      from public.moonpay_webhook_events e
      -- A payload that PostgreSQL cannot hold as JSON tells the database nothing.
      where e.id = any (p_event_ids) and e.entity_type = 'transaction' and jsonb_typeof(e.event_data) = 'object'
    ),
    step as (
      select i.*, case
          -- The name has weighed type and status already.
          when i.event_name like '%.failed' then 'failed'
          when i.event_name like '%.completed' then 'completed'
          when trim(i.data ->> 'status') in ('waitingPayment', 'pending', 'waitingAuthorization', 'waitingForDeposit', 'requoteRequired')
            then trim(i.data ->> 'status')
          else 'pending'
        end as status,
        nullif(i.data ->> 'externalTransactionId', '') as external_id,
        row_number() over (partition by i.data ->> 'externalTransactionId' order by i.environment, i.entity_id) as external_id_place
      from incoming i where i.round = v_round
    ),
    moved as (
      insert into public.moonpay_transactions as t (
        id, external_transaction_id, type, status, crypto_currency, fiat_currency, crypto_amount, fiat_amount, wallet_address,
        redirect_url, widget_redirect_url, customer_id, payment_method, fees, environment, moonpay_transaction_id,
        moonpay_status, moonpay_updated_at, failure_reason, crypto_transaction_id, external_customer_id, country
      )
      select (v_series || lpad(to_hex(row_number() over ()), 6, '0'))::uuid,
        -- Your own id, unless another transaction has it: MoonPay does not make you use it once.
        case
          when s.external_id_place = 1 and s.external_id is not null and not exists (
            select from public.moonpay_transactions other where other.external_transaction_id = s.external_id
          ) then s.external_id
          when not exists (
            select from public.moonpay_transactions other where other.external_transaction_id = s.entity_id
          ) then s.entity_id
          else s.environment || ':' || s.entity_id
        end,
        case when s.is_sell then 'sell' else 'buy' end,
        s.status,
        coalesce(amounts.crypto_currency ->> 'code', case when jsonb_typeof(amounts.crypto_currency) = 'string' then amounts.crypto_currency #>> '{}' end),
        coalesce(amounts.fiat_currency ->> 'code', case when jsonb_typeof(amounts.fiat_currency) = 'string' then amounts.fiat_currency #>> '{}' end),
        case when jsonb_typeof(amounts.crypto) = 'number' or amounts.crypto #>> '{}' ~ '^-?[0-9]{1,60}(\.[0-9]{1,60})?$' then (amounts.crypto #>> '{}')::numeric end,
        case when jsonb_typeof(amounts.fiat) = 'number' or amounts.fiat #>> '{}' ~ '^-?[0-9]{1,60}(\.[0-9]{1,60})?$' then (amounts.fiat #>> '{}')::numeric end,
        coalesce(s.data ->> 'walletAddress', s.data -> 'depositWallet' ->> 'walletAddress'),
        s.data ->> 'redirectUrl', s.data ->> 'widgetRedirectUrl',
        -- Through JSON it takes the type that the column has; in tables made by hand that is often uuid.
        (jsonb_populate_record(null::public.moonpay_transactions, jsonb_build_object('customer_id', s.data -> 'customerId'))).customer_id,
        coalesce(s.data ->> 'paymentMethod', s.data ->> 'payoutMethod'),
        jsonb_strip_nulls(jsonb_build_object('fee_amount', s.data -> 'feeAmount', 'extra_fee_amount', s.data -> 'extraFeeAmount',
          'network_fee_amount', s.data -> 'networkFeeAmount')),
        s.environment, s.entity_id, s.data ->> 'status', s.occurred_at, s.data ->> 'failureReason',
        coalesce(s.data ->> 'cryptoTransactionId', s.data ->> 'depositHash'), s.data ->> 'externalCustomerId', s.data ->> 'country'
      from step s
      cross join lateral (select
        case when s.is_sell then s.data -> 'baseCurrency' else s.data -> 'currency' end as crypto_currency,
        case when s.is_sell then s.data -> 'quoteCurrency' else s.data -> 'baseCurrency' end as fiat_currency,
        case when s.is_sell then s.data -> 'baseCurrencyAmount' else s.data -> 'quoteCurrencyAmount' end as crypto,
        case when s.is_sell then s.data -> 'quoteCurrencyAmount' else s.data -> 'baseCurrencyAmount' end as fiat
        offset 0) amounts
      order by s.environment, s.entity_id
      on conflict (environment, moonpay_transaction_id) do update set
        status = excluded.status,
        crypto_currency = coalesce(excluded.crypto_currency, t.crypto_currency),
        fiat_currency = coalesce(excluded.fiat_currency, t.fiat_currency),
        crypto_amount = coalesce(excluded.crypto_amount, t.crypto_amount),
        fiat_amount = coalesce(excluded.fiat_amount, t.fiat_amount),
        wallet_address = coalesce(excluded.wallet_address, t.wallet_address),
        redirect_url = coalesce(excluded.redirect_url, t.redirect_url),
        widget_redirect_url = coalesce(excluded.widget_redirect_url, t.widget_redirect_url),
        customer_id = coalesce(excluded.customer_id, t.customer_id),
        payment_method = coalesce(excluded.payment_method, t.payment_method),
        fees = coalesce(t.fees, '{}') || excluded.fees,
        moonpay_status = excluded.moonpay_status,
        moonpay_updated_at = coalesce(excluded.moonpay_updated_at, t.moonpay_updated_at),
        failure_reason = coalesce(excluded.failure_reason, t.failure_reason),
        crypto_transaction_id = coalesce(excluded.crypto_transaction_id, t.crypto_transaction_id),
        external_customer_id = coalesce(excluded.external_customer_id, t.external_customer_id),
        country = coalesce(excluded.country, t.country),
        updated_at = now()
      where
        -- An end stays an end; its own later events may still fill in what was missing.
        (moonguard.transaction_rank(t.status) < 2 or t.status = excluded.status)
        -- Older than what we have never counts. At the same instant, or without a time, only the way forward counts.
        and (case
          when excluded.moonpay_updated_at > t.moonpay_updated_at then true
          when excluded.moonpay_updated_at < t.moonpay_updated_at then false
          else moonguard.transaction_rank(excluded.status) >= moonguard.transaction_rank(t.status)
        end)
      returning t.environment, t.moonpay_transaction_id
    )
    select s.event_id from step s
    where not exists (select from moved m where m.environment = s.environment and m.moonpay_transaction_id = s.entity_id);

  end loop;
end
$$;
comment on function moonguard.project_transactions(uuid[]) is
  'Moves moonpay_transactions forward by stored events; returns the ids of those that came late.';

-- The same for the identity state of a customer; false: it stays as it is. It has no end: a newer check may reverse an older
-- one. p_check is what MoonPay says of the check.
create function moonguard.move_customer(p_environment text, p_customer_id text, p_external_customer_id text, p_status text, p_check jsonb, p_at timestamptz)
returns boolean
language plpgsql set search_path = '' as $$
declare
  v_row_id uuid;
  v_external_customer_id text;
  v_level integer := case when p_check ->> 'level' ~ '^[0-9]{1,4}$' then (p_check ->> 'level')::integer end;
begin
  perform pg_advisory_xact_lock(hashtextextended('moonpay_customers:' || coalesce(p_customer_id, p_external_customer_id), 0));
  -- A row from before Moonguard, and your own id of the customer, belong to production: in the sandbox anybody passes the
  -- check, under any id.
  if p_environment = 'production' and p_customer_id is not null then
    update public.moonpay_customers c
    set moonpay_customer_id = p_customer_id, environment = p_environment
    where c.external_customer_id = p_external_customer_id and c.moonpay_customer_id is null
      and not exists (select from public.moonpay_customers other where other.moonpay_customer_id = p_customer_id);
    update public.moonpay_customers c set external_customer_id = null
    where c.external_customer_id = p_external_customer_id and c.environment = 'sandbox';
  end if;

  if p_customer_id is not null then
    select c.id into v_row_id from public.moonpay_customers c where c.moonpay_customer_id = p_customer_id;
  else
    select c.id into v_row_id from public.moonpay_customers c where c.external_customer_id = p_external_customer_id;
  end if;
  -- The same customer of yours has another id at MoonPay in each environment.
  if not exists (select from public.moonpay_customers other where other.external_customer_id = p_external_customer_id) then
    v_external_customer_id := p_external_customer_id;
  end if;

  if v_row_id is null then
    insert into public.moonpay_customers (
      id, moonpay_customer_id, external_customer_id, environment, identity_verification_status,
      kyc_check_id, kyc_result, kyc_reject_type, kyc_checked_level, kyc_updated_at
    ) values (
      moonguard.uuid_v7(), p_customer_id, v_external_customer_id, p_environment, p_status,
      p_check ->> 'id', p_check ->> 'result', p_check ->> 'rejectType', v_level, p_at);
    return true;
  end if;
  update public.moonpay_customers c set
    environment = p_environment,
    external_customer_id = coalesce(c.external_customer_id, v_external_customer_id),
    identity_verification_status = p_status,
    kyc_check_id = p_check ->> 'id',
    kyc_result = p_check ->> 'result',
    kyc_reject_type = p_check ->> 'rejectType',
    kyc_checked_level = coalesce(v_level, c.kyc_checked_level),
    kyc_updated_at = coalesce(p_at, c.kyc_updated_at),
    updated_at = now()
  where c.id = v_row_id
    and (c.environment = p_environment or c.environment is null and (p_customer_id is not null or p_environment = 'production'))
    and (c.kyc_updated_at is null or p_at is null or p_at >= c.kyc_updated_at);
  return found;
end
$$;
comment on function moonguard.move_customer(text, text, text, text, jsonb, timestamptz) is
  'Moves the identity state of a customer forward by a check; by your own id alone where MoonPay''s is not known.';

create function moonguard.project_customers(p_event_ids uuid[]) returns setof uuid
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
declare
  v_event record;
begin
  for v_event in
    select e.id as event_id, e.environment, e.entity_id, e.occurred_at, identity.data,
      nullif(coalesce(identity.data ->> 'externalCustomerId', e.event_data ->> 'externalCustomerId'), '') as external_customer_id,
      case e.event_name when 'customer.kyc_completed' then 'completed' when 'customer.kyc_rejected' then 'failed' else 'pending' end as status
    from public.moonpay_webhook_events e
    -- The documentation prints identity checks without their envelope, and some senders deliver them so.
    cross join lateral (select case when jsonb_typeof(e.event_data -> 'data') = 'object' then e.event_data -> 'data' else e.event_data end as data) identity
    where e.id = any (p_event_ids) and e.entity_type = 'customer'
    order by e.environment, e.entity_id, e.sequence
  loop
    if not moonguard.move_customer(v_event.environment, v_event.entity_id, v_event.external_customer_id, v_event.status, v_event.data, v_event.occurred_at) then
      return next v_event.event_id;
    end if;
  end loop;
end
$$;
comment on function moonguard.project_customers(uuid[]) is
  'Moves the identity state of moonpay_customers forward by stored events; returns the ids of those that came late.';

-- A projection must never cost an event. What the tables refuse (a hand-made column of another type, a check of the
-- user's own) is noted on the event, and the event is stored and delivered all the same.
create function moonguard.project_events(p_event_ids uuid[]) returns table (event_id uuid, failure text)
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
#variable_conflict use_column
declare
  v_event_id uuid;
  v_late uuid[];
  v_attempts integer := 0;
begin
  loop
    v_attempts := v_attempts + 1;
    begin
      v_late := array(select moonguard.project_transactions(p_event_ids));
      if exists (select from public.moonpay_webhook_events where id = any (p_event_ids) and entity_type = 'customer') then
        v_late := v_late || array(select moonguard.project_customers(p_event_ids));
      end if;
      exit;
    exception
      when transaction_rollback or lock_not_available or insufficient_resources or operator_intervention or system_error then
        -- The database, not the event: the sender tries again.
        raise;
      when others then
        if cardinality(p_event_ids) > 1 then
          for v_event_id in select id from public.moonpay_webhook_events where id = any (p_event_ids) order by environment, entity_id, sequence loop
            return query select * from moonguard.project_events(array[v_event_id]);
          end loop;
          return;
        end if;
        -- Another transaction committed a row with your id meanwhile: seen now, it is made way for.
        continue when sqlstate = '23505' and v_attempts < 3;
        update public.moonpay_webhook_events set last_processing_error = sqlerrm where id = p_event_ids[1];
        return query select p_event_ids[1], sqlerrm;
        return;
    end;
  end loop;
  if cardinality(v_late) > 0 then
    update public.moonpay_webhook_events set is_late = true, processed = true, processed_at = now() where id = any (v_late);
    return query select id, null::text from unnest(v_late) as id;
  end if;
end
$$;
comment on function moonguard.project_events(uuid[]) is
  'Moves transactions and customers forward by newly stored events. Returns the events that came late (failure is null) and those whose projection failed, with the reason.';
