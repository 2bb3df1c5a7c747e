-- Why: an endpoint that names compliance or policy events goes on naming one.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_webhook_config, which has few rows.
-- Older program: runs on.

-- Its deliveries and counters of the past would come into sight with it.
create constraint trigger moonpay_webhook_config_confidential_check after update of events on public.moonpay_webhook_config
  for each row when (moonguard.names_confidential(old.events) and not moonguard.names_confidential(new.events))
  execute function moonguard.refuse_breach();
