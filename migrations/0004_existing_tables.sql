-- Why: the tables an installation may already have: events, transactions, customers, policies. Created where missing,
--   given further columns where present. No row, column or type of them is changed; rules that would refuse what MoonPay
--   sends are widened, and that is reported.
-- Locks: ACCESS EXCLUSIVE on each, for the time of a catalogue change; the unique index on dedupe_key is built on a
--   column that is null in every existing row, in one scan.
-- Older program: runs on; new columns are optional, widened checks allow more.

create table if not exists public.moonpay_webhook_events (
  id uuid primary key default moonguard.uuid_v7(),
  event_type text not null,
  event_data jsonb not null,
  signature text not null,
  processed boolean not null default false,
  processing_attempts integer not null default 0,
  last_processing_error text,
  received_at timestamptz not null default now(),
  processed_at timestamptz
);

do $possible$
declare
  v_type text := (select pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute
    where attrelid = 'public.moonpay_webhook_events'::regclass and attname = 'id');
begin
  if v_type is distinct from 'uuid' then
    raise exception using errcode = 'datatype_mismatch',
      message = format('moonpay_webhook_events.id is %s', coalesce(v_type, 'missing')),
      hint = 'Moonguard needs ids of type uuid there: rename the table, and copy its rows into the new one afterwards.';
  end if;
end
$possible$;

create sequence if not exists moonguard.event_sequence;

alter table public.moonpay_webhook_events
  add column if not exists signature text,
  add column if not exists processed boolean not null default false,
  add column if not exists processing_attempts integer not null default 0,
  add column if not exists last_processing_error text,
  add column if not exists received_at timestamptz not null default now(),
  add column if not exists processed_at timestamptz,
  add column if not exists environment text,
  add column if not exists event_name text,
  -- Byte order: an index compares faster, and no locale changes it.
  add column if not exists dedupe_key text collate "C",
  add column if not exists raw_body bytea,
  add column if not exists entity_type text,
  add column if not exists entity_id text,
  add column if not exists occurred_at timestamptz,
  add column if not exists sequence bigint,
  add column if not exists is_handled boolean not null default true,
  add column if not exists is_late boolean not null default false,
  add column if not exists decide_after timestamptz;

create unique index if not exists moonpay_webhook_events_dedupe_key_key on public.moonpay_webhook_events (dedupe_key);
create index if not exists moonpay_webhook_events_to_decide_idx on public.moonpay_webhook_events (sequence)
  where not processed and dedupe_key is not null and coalesce(processing_attempts, 0) < 5;
select moonguard.add_index('public.moonpay_webhook_events', 'moonpay_webhook_events_received_at_idx', '(received_at)');

-- A body and its JSON up to 2 kB each stay as they are, in the row: compressing and moving them costs 70 µs an event, more than
-- all the rest of storing it.
alter table public.moonpay_webhook_events set (toast_tuple_target = 4080);

comment on table public.moonpay_webhook_events is 'Every webhook of MoonPay, once, as it came.';
comment on column public.moonpay_webhook_events.event_type is 'The type as MoonPay sent it.';
comment on column public.moonpay_webhook_events.event_data is 'The body as JSON, for queries; JSON null when the body is not JSON that PostgreSQL can hold. raw_body is the truth.';
comment on column public.moonpay_webhook_events.signature is 'The signature header as it came.';
comment on column public.moonpay_webhook_events.processed is 'Whether policies and alerts have been decided on this event.';
comment on column public.moonpay_webhook_events.decide_after is 'After a decision that failed: not before.';
comment on column public.moonpay_webhook_events.environment is 'sandbox or production; null for rows from before Moonguard.';
comment on column public.moonpay_webhook_events.event_name is 'The dotted name that endpoints subscribe to.';
comment on column public.moonpay_webhook_events.dedupe_key is 'Environment, type, data.id and data.updatedAt, or a hash of the body; null for rows from before Moonguard.';
comment on column public.moonpay_webhook_events.raw_body is 'The exact bytes that were signed.';
comment on column public.moonpay_webhook_events.occurred_at is 'data.updatedAt: when MoonPay says it happened.';
comment on column public.moonpay_webhook_events.sequence is 'Order of arrival.';
comment on column public.moonpay_webhook_events.is_handled is 'False when the type is one we do not know.';
comment on column public.moonpay_webhook_events.is_late is 'True when a newer state was stored before it came: kept, delivered, without side effects.';

create table if not exists public.moonpay_transactions (
  id uuid primary key default moonguard.uuid_v7(),
  external_transaction_id text unique,
  type text not null constraint moonpay_transactions_type_check check (type in ('buy', 'sell')),
  status text not null constraint moonpay_transactions_status_check check (status in
    ('waitingPayment', 'pending', 'waitingAuthorization', 'waitingForDeposit', 'requoteRequired', 'completed', 'failed')),
  crypto_currency text,
  fiat_currency text,
  crypto_amount numeric,
  fiat_amount numeric,
  wallet_address text,
  redirect_url text,
  widget_redirect_url text,
  customer_id text,
  payment_method text,
  fees jsonb,
  metadata jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

alter table public.moonpay_transactions
  add column if not exists external_transaction_id text,
  add column if not exists crypto_currency text,
  add column if not exists fiat_currency text,
  add column if not exists crypto_amount numeric,
  add column if not exists fiat_amount numeric,
  add column if not exists wallet_address text,
  add column if not exists redirect_url text,
  add column if not exists widget_redirect_url text,
  add column if not exists customer_id text,
  add column if not exists payment_method text,
  add column if not exists fees jsonb,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now(),
  add column if not exists environment text,
  add column if not exists moonpay_transaction_id text collate "C",
  add column if not exists moonpay_status text,
  add column if not exists moonpay_updated_at timestamptz,
  add column if not exists failure_reason text,
  add column if not exists crypto_transaction_id text,
  add column if not exists external_customer_id text,
  add column if not exists country text;

-- Room for the next states of a transaction beside its first: then no index is written.
alter table public.moonpay_transactions set (fillfactor = 80);

create unique index if not exists moonpay_transactions_moonpay_transaction_id_key
  on public.moonpay_transactions (environment, moonpay_transaction_id);
select moonguard.add_index('public.moonpay_transactions', 'moonpay_transactions_customer_id_idx', '(customer_id)');
-- Rows from before Moonguard that no event has been about yet.
create index if not exists moonpay_transactions_older_idx on public.moonpay_transactions (external_transaction_id)
  where moonpay_transaction_id is null;

comment on table public.moonpay_transactions is 'The newest known state of each buy and sell.';
comment on column public.moonpay_transactions.external_transaction_id is 'Your own id of the transaction where you gave one to MoonPay; else MoonPay''s.';
comment on column public.moonpay_transactions.moonpay_transaction_id is 'MoonPay''s id of the transaction.';
comment on column public.moonpay_transactions.moonpay_status is 'The status as MoonPay sent it; status holds pending where it is one we do not know.';
comment on column public.moonpay_transactions.moonpay_updated_at is 'data.updatedAt of the event that this state comes from.';
comment on column public.moonpay_transactions.crypto_amount is 'With the digits that MoonPay sent.';

create table if not exists public.moonpay_customers (
  id uuid primary key default moonguard.uuid_v7(),
  external_customer_id text unique,
  moonpay_customer_id text unique,
  email text,
  first_name text,
  last_name text,
  date_of_birth date,
  address jsonb,
  kyc_level text not null default 'none'
    constraint moonpay_customers_kyc_level_check check (kyc_level in ('none', 'basic', 'enhanced', 'premium')),
  identity_verification_status text not null default 'pending'
    constraint moonpay_customers_identity_verification_status_check
      check (identity_verification_status in ('pending', 'completed', 'failed')),
  verification_documents jsonb,
  transaction_limits jsonb,
  preferred_payment_methods text[],
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

alter table public.moonpay_customers
  add column if not exists external_customer_id text,
  add column if not exists moonpay_customer_id text,
  add column if not exists identity_verification_status text not null default 'pending',
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now(),
  add column if not exists environment text,
  add column if not exists kyc_check_id text,
  add column if not exists kyc_result text,
  add column if not exists kyc_reject_type text,
  add column if not exists kyc_checked_level integer,
  add column if not exists kyc_updated_at timestamptz;

comment on table public.moonpay_customers is 'Customers and the newest known state of their identity check.';
comment on column public.moonpay_customers.kyc_check_id is 'MoonPay''s id of the identity check that the state comes from.';
comment on column public.moonpay_customers.kyc_updated_at is 'data.updatedAt of the event that the state comes from.';
comment on column public.moonpay_customers.kyc_checked_level is 'The level MoonPay checked, as a number; kyc_level is yours.';

create table if not exists public.moonpay_policies (
  id uuid primary key default moonguard.uuid_v7(),
  external_policy_id text unique,
  name text not null,
  type text not null constraint moonpay_policies_type_check check (type in ('kyc', 'transaction', 'compliance', 'risk')),
  rules jsonb not null default '[]',
  is_active boolean not null default true,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
comment on table public.moonpay_policies is 'Policies that you define; rows of the policy log refer to them.';

-- MoonPay leaves most fields out now and then (an early failure has hardly any).
select moonguard.drop_not_null('public.moonpay_transactions', 'external_transaction_id', 'crypto_currency', 'fiat_currency',
  'crypto_amount', 'fiat_amount', 'wallet_address', 'redirect_url', 'widget_redirect_url', 'customer_id', 'payment_method',
  'fees', 'metadata');
select moonguard.drop_not_null('public.moonpay_customers', 'external_customer_id', 'moonpay_customer_id', 'email', 'first_name',
  'last_name', 'date_of_birth', 'address', 'verification_documents', 'transaction_limits', 'preferred_payment_methods');

-- An event is never refused: not its type, not for a value that we do not have.
do $events$
declare
  v_rule record;
begin
  for v_rule in
    select format('the check %s: %s', c.conname, pg_catalog.pg_get_constraintdef(c.oid)) as reason, 'corrected: dropped; every type of event is stored' as resolution,
      format('alter table public.moonpay_webhook_events drop constraint %I', c.conname) as command
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attname in ('event_type', 'event_data', 'signature')
    where c.conrelid = 'public.moonpay_webhook_events'::regclass and c.contype = 'c' and a.attnum = any (c.conkey)
    union
    select format('column %s, which this version does not fill, was NOT NULL without a default', attname), 'corrected: it may be null',
      format('alter table public.moonpay_webhook_events alter column %I drop not null', attname)
    from pg_catalog.pg_attribute
    where attrelid = 'public.moonpay_webhook_events'::regclass and attnum > 0 and not attisdropped and attnotnull and not atthasdef and attidentity = ''
      and attname not in ('id', 'event_type', 'event_data', 'signature')
    union
    select format('column %s is %s', attname, pg_catalog.format_type(atttypid, atttypmod)), 'corrected: is text now; MoonPay sends longer ones',
      format('alter table public.moonpay_webhook_events alter column %I type text', attname)
    from pg_catalog.pg_attribute
    where attrelid = 'public.moonpay_webhook_events'::regclass and attname in ('event_type', 'signature', 'last_processing_error')
      and atttypid in ('varchar'::regtype, 'bpchar'::regtype) and atttypmod > 0
  loop
    begin
      execute v_rule.command;
      perform moonguard.report_finding('moonpay_webhook_events', null, v_rule.reason, v_rule.resolution);
    exception when feature_not_supported or syntax_error then
      -- A view, a trigger or a generated column holds on to it.
      perform moonguard.report_finding('moonpay_webhook_events', null, v_rule.reason, 'action needed: ' || sqlerrm || '; then ' || v_rule.command);
    end;
  end loop;
end
$events$;

-- Deliveries point at events; states are kept by MoonPay's ids.
select moonguard.add_key('public.moonpay_webhook_events', 'moonpay_webhook_events_id_key', 'id');
do $keys$
begin
  perform moonguard.add_key('public.moonpay_customers', 'moonpay_customers_moonpay_customer_id_key', 'moonpay_customer_id');
exception when unique_violation then
  perform moonguard.report_finding('moonpay_customers', null, 'moonpay_customer_id is not unique: ' || sqlerrm,
    'action needed: join the rows, then alter table public.moonpay_customers add unique (moonpay_customer_id); until then no identity check can be kept');
end
$keys$;

-- What demands a value that we do not have, of rows that we add.
insert into moonguard.installation_findings (table_name, reason, resolution)
select c.relname, format('column %s is NOT NULL without a default and this version does not fill it', a.attname),
  'action needed: give it a default or drop NOT NULL; until then no row of it can be added, and events say so in last_processing_error'
from pg_catalog.pg_class c
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attnotnull and not a.atthasdef and a.attidentity = ''
where c.oid in ('public.moonpay_transactions'::regclass, 'public.moonpay_customers'::regclass)
  and a.attname not in ('id', 'type', 'status', 'identity_verification_status');

-- A check list made by hand does not have every state of MoonPay: it allows them besides what it allowed before.
do $widen$
declare
  v_check record;
begin
  for v_check in
    select c.conname, pg_catalog.pg_get_expr(c.conbin, c.conrelid) as expression, c.convalidated
    from pg_catalog.pg_constraint c
    join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attname = 'status'
    where c.conrelid = 'public.moonpay_transactions'::regclass and c.contype = 'c' and c.conkey = array[a.attnum]
      and a.atttypid in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)
      and exists (
        select from unnest(array['waitingPayment', 'pending', 'waitingAuthorization', 'waitingForDeposit', 'requoteRequired', 'completed', 'failed']) as state
        where strpos(pg_catalog.pg_get_expr(c.conbin, c.conrelid), quote_literal(state)) = 0)
  loop
    execute format('alter table public.moonpay_transactions drop constraint %I', v_check.conname);
    execute format('alter table public.moonpay_transactions add constraint %I check ((%s) or status in
      (''waitingPayment'', ''pending'', ''waitingAuthorization'', ''waitingForDeposit'', ''requoteRequired'', ''completed'', ''failed''))%s',
      v_check.conname, v_check.expression, case when v_check.convalidated then '' else ' not valid' end);
    perform moonguard.report_finding('moonpay_transactions', null,
      format('the check %s did not allow every state of MoonPay', v_check.conname),
      'corrected: it allows them besides what it allowed before');
  end loop;
end
$widen$;
