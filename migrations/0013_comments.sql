-- Why: what the remaining columns in public mean, for whoever looks at the tables; and updated_at in step on those tables
--   that an installation did not have before.
-- Locks: SHARE ROW EXCLUSIVE on the tables we made, for the time of a catalogue change.
-- Older program: runs on.

-- A comment of the user's own stays.
do $comments$
declare
  v_column record;
begin
  for v_column in
    select said.table_name, said.column_name, said.meaning
    from (values
      ('moonpay_webhook_events', 'id', 'A UUIDv7; deliveries carry it as webhook-id, after evt_.'),
      ('moonpay_webhook_events', 'processing_attempts', 'Decisions on it that failed.'),
      ('moonpay_webhook_events', 'last_processing_error', 'Why the last decision or the projection failed; says nothing about alerts.'),
      ('moonpay_webhook_events', 'received_at', 'When it was stored.'),
      ('moonpay_webhook_events', 'processed_at', 'When it was decided.'),
      ('moonpay_webhook_events', 'entity_type', 'transaction, swap, customer or unknown.'),
      ('moonpay_webhook_events', 'entity_id', 'MoonPay''s id of what it is about.'),
      ('moonpay_transactions', 'id', 'Ours.'),
      ('moonpay_transactions', 'type', 'buy or sell.'),
      ('moonpay_transactions', 'status', 'Moves forward only: completed and failed stay.'),
      ('moonpay_transactions', 'crypto_currency', 'MoonPay''s code of it.'),
      ('moonpay_transactions', 'fiat_currency', 'MoonPay''s code of it.'),
      ('moonpay_transactions', 'fiat_amount', 'With the digits that MoonPay sent.'),
      ('moonpay_transactions', 'wallet_address', 'Where the crypto goes to, or is deposited.'),
      ('moonpay_transactions', 'redirect_url', 'As MoonPay sent it.'),
      ('moonpay_transactions', 'widget_redirect_url', 'As MoonPay sent it.'),
      ('moonpay_transactions', 'customer_id', 'MoonPay''s id of the customer.'),
      ('moonpay_transactions', 'payment_method', 'How the customer pays, or is paid.'),
      ('moonpay_transactions', 'fees', 'fee_amount, extra_fee_amount, network_fee_amount, with the digits that MoonPay sent.'),
      ('moonpay_transactions', 'metadata', 'Yours.'),
      ('moonpay_transactions', 'created_at', 'When the row was made.'),
      ('moonpay_transactions', 'updated_at', 'When the row last changed.'),
      ('moonpay_transactions', 'environment', 'sandbox or production; null for rows from before Moonguard.'),
      ('moonpay_transactions', 'failure_reason', 'MoonPay''s sentence or code.'),
      ('moonpay_transactions', 'crypto_transaction_id', 'Hash of the transaction or deposit on its chain.'),
      ('moonpay_transactions', 'external_customer_id', 'Your id of the customer.'),
      ('moonpay_transactions', 'country', 'ISO 3166-1 alpha-3.'),
      ('moonpay_customers', 'id', 'Ours.'),
      ('moonpay_customers', 'external_customer_id', 'Your id of the customer.'),
      ('moonpay_customers', 'moonpay_customer_id', 'MoonPay''s id of the customer.'),
      ('moonpay_customers', 'email', 'Yours to fill: events do not carry it.'),
      ('moonpay_customers', 'first_name', 'Yours to fill.'),
      ('moonpay_customers', 'last_name', 'Yours to fill.'),
      ('moonpay_customers', 'date_of_birth', 'Yours to fill.'),
      ('moonpay_customers', 'address', 'Yours to fill.'),
      ('moonpay_customers', 'kyc_level', 'none, basic, enhanced or premium: your own level.'),
      ('moonpay_customers', 'identity_verification_status', 'pending, completed or failed, from the newest identity check.'),
      ('moonpay_customers', 'verification_documents', 'Yours to fill.'),
      ('moonpay_customers', 'transaction_limits', 'Yours to fill.'),
      ('moonpay_customers', 'preferred_payment_methods', 'Yours to fill.'),
      ('moonpay_customers', 'created_at', 'When the row was made.'),
      ('moonpay_customers', 'updated_at', 'When the row last changed.'),
      ('moonpay_customers', 'environment', 'sandbox or production; null for rows from before Moonguard.'),
      ('moonpay_customers', 'kyc_result', 'Result of the newest identity check: clear or rejected.'),
      ('moonpay_customers', 'kyc_reject_type', 'final, retry, level2Request or level3Request.'),
      ('moonpay_policies', 'id', 'Ours.'),
      ('moonpay_policies', 'external_policy_id', 'Your name for it: what policy_id in the log says.'),
      ('moonpay_policies', 'name', 'For people.'),
      ('moonpay_policies', 'type', 'kyc, transaction, compliance or risk.'),
      ('moonpay_policies', 'rules', 'As you define them.'),
      ('moonpay_policies', 'is_active', 'Whether it is in force.'),
      ('moonpay_policies', 'created_at', 'When the row was made.'),
      ('moonpay_policies', 'updated_at', 'When the row last changed.'),
      ('moonpay_webhook_deliveries', 'id', 'Of the delivery.'),
      ('moonpay_webhook_deliveries', 'event_id', 'The event in moonpay_webhook_events.'),
      ('moonpay_webhook_deliveries', 'endpoint_id', 'The endpoint in moonpay_webhook_config.'),
      ('moonpay_webhook_deliveries', 'status', 'pending, delivered, exhausted (no attempts left), held (the endpoint is inactive or failed) or filtered (its filter did not want it).'),
      ('moonpay_webhook_deliveries', 'next_attempt_at', 'When it is due.'),
      ('moonpay_webhook_deliveries', 'in_flight', 'Whether a worker has it.'),
      ('moonpay_webhook_deliveries', 'attempts_count', 'Requests made.'),
      ('moonpay_webhook_deliveries', 'last_attempt_at', 'When the last one was made.'),
      ('moonpay_webhook_deliveries', 'last_response_status', 'HTTP status of its answer; null when there was none.'),
      ('moonpay_webhook_deliveries', 'last_error_class', 'timeout, connection_refused, http_5xx, …; null when it succeeded.'),
      ('moonpay_webhook_deliveries', 'settled_at', 'When it became delivered, exhausted or filtered.'),
      ('moonpay_webhook_deliveries', 'created_at', 'When it was made, with its event.'),
      ('moonpay_webhook_delivery_attempts', 'delivery_id', 'The delivery.'),
      ('moonpay_webhook_delivery_attempts', 'endpoint_id', 'The endpoint.'),
      ('moonpay_webhook_delivery_attempts', 'attempt_number', 'From 1.'),
      ('moonpay_webhook_delivery_attempts', 'started_at', 'When the request was begun.'),
      ('moonpay_webhook_delivery_attempts', 'duration_ms', 'Until its answer was complete, or it failed.'),
      ('moonpay_webhook_delivery_attempts', 'outcome', 'What became of the delivery: delivered, retry, exhausted, held, or resend_failed (it stayed what it was).'),
      ('moonpay_webhook_delivery_attempts', 'response_status', 'HTTP status of the answer; null when there was none.'),
      ('moonpay_webhook_delivery_attempts', 'response_body', 'At most 16 KiB of the answer.'),
      ('moonpay_webhook_delivery_attempts', 'error_class', 'timeout, connection_refused, http_5xx, …; null when it succeeded.'),
      ('moonpay_webhook_delivery_attempts', 'error_message', 'The error in words.'),
      ('moonpay_alert_timeline', 'id', 'Of the entry.'),
      ('moonpay_alert_timeline', 'alert_id', 'The alert: id in moonpay_compliance_alerts.'),
      ('moonpay_alert_timeline', 'alert_version', 'Version of the alert that the change made.'),
      ('moonpay_alert_timeline', 'at', 'When.'),
      ('moonpay_alert_timeline', 'actor', 'Who.'),
      ('moonpay_alert_timeline', 'action', 'created, moved, changed, hit, commented, attached, warned or breached.'),
      ('moonpay_alert_timeline', 'from_status', 'Status before; null for a new alert.'),
      ('moonpay_alert_timeline', 'to_status', 'Status afterwards.'),
      ('moonpay_alert_timeline', 'reason', 'Why, or the comment.'),
      ('moonpay_alert_timeline', 'before', 'The columns that changed, as they were.'),
      ('moonpay_alert_timeline', 'after', 'The columns that changed, as they became.'),
      ('moonpay_alert_timeline', 'entry_number', 'Order of the entries of an alert.'),
      ('moonpay_alert_timeline', 'mentions', 'Ids of the people that a comment speaks to.'),
      ('moonpay_alert_timeline', 'attachment', 'A reference to a document kept elsewhere: name, uri, sha256, bytes.')
    ) as said (table_name, column_name, meaning)
    join pg_catalog.pg_attribute a on a.attrelid = to_regclass('public.' || said.table_name) and a.attname = said.column_name
    where pg_catalog.col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column public.%I.%I is %L', v_column.table_name, v_column.column_name, v_column.meaning);
  end loop;
end
$comments$;

do $in_step$
declare
  v_table text;
begin
  foreach v_table in array array['moonpay_transactions', 'moonpay_customers', 'moonpay_policies'] loop
    if not exists (select from moonguard.adopted_tables where table_name = v_table) then
      execute format('create trigger set_updated_at before update on public.%I for each row execute function moonguard.set_updated_at()', v_table);
    end if;
  end loop;
end
$in_step$;
