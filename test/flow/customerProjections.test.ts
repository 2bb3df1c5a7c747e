import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Event, project } from '../support/projection.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('the identity state of customers', (open) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  const check = (entityId: string, event: Partial<Event> & { externalCustomerId?: string }): Event => ({
    name: 'customer.kyc_completed',
    ...event,
    entityId,
    data: {
      result: 'clear',
      ...event.data,
      ...(event.externalCustomerId !== undefined && { externalCustomerId: event.externalCustomerId }),
    },
  });
  const projectChecks = (events: readonly Event[]) => project(database.db, events, 'customer');
  const customers = async (condition: string) => {
    const { rows } =
      await sql`select environment, moonpay_customer_id as id, external_customer_id as external, identity_verification_status as status
      from public.moonpay_customers where ${sql.raw(condition)} order by environment, moonpay_customer_id`.execute(
        database.db,
      );
    return rows;
  };

  test('follows the newest check, back as well as forth', async () => {
    const { ids, late } = await projectChecks([
      check('c-1', { name: 'customer.kyc_updated', updatedAt: 1 }),
      check('c-1', { updatedAt: 3 }),
      check('c-1', { name: 'customer.kyc_rejected', updatedAt: 2 }),
      check('c-1', { name: 'customer.kyc_rejected', updatedAt: 4 }),
    ]);

    expect(late).toEqual([ids[2]]);
    expect(await customers("moonpay_customer_id = 'c-1'")).toMatchObject([{ status: 'failed' }]);
  });

  test('adopts a customer from before Moonguard by your own id, in production only', async () => {
    await sql`insert into public.moonpay_customers (external_customer_id, email) values ('customer_1', 'ada@example.com')`.execute(
      database.db,
    );

    await projectChecks([check('play-1', { environment: 'sandbox', externalCustomerId: 'customer_1' })]);
    expect(await customers("external_customer_id = 'customer_1'")).toEqual([
      { environment: null, id: null, external: 'customer_1', status: 'pending' },
    ]);

    await projectChecks([check('real-1', { externalCustomerId: 'customer_1' })]);
    expect(await customers("external_customer_id = 'customer_1'")).toEqual([
      { environment: 'production', id: 'real-1', external: 'customer_1', status: 'completed' },
    ]);
  });

  test('gives your own id to production, from the sandbox too', async () => {
    await projectChecks([check('play-2', { environment: 'sandbox', externalCustomerId: 'customer_2' })]);
    await projectChecks([check('real-2', { name: 'customer.kyc_rejected', externalCustomerId: 'customer_2' })]);

    expect(await customers("moonpay_customer_id in ('play-2', 'real-2')")).toEqual([
      { environment: 'production', id: 'real-2', external: 'customer_2', status: 'failed' },
      { environment: 'sandbox', id: 'play-2', external: null, status: 'completed' },
    ]);
  });
});
