import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import { parseVerifier } from '../../src/audit/signedNote.ts';
import { Log } from '../support/auditLog.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase } from '../support/testDatabase.ts';

forEachDatabase('waiting for a checkpoint', (open) => {
  test('it comes when the row is signed, in time or not at all', async () => {
    const log = await Log.open(await open());
    await log.add(0, 2);
    await expect(log.audit.waitForCheckpoint('row_2', { withinMs: 1 })).rejects.toMatchObject({
      code: 'audit_delayed',
    });
    await expect(log.audit.waitForCheckpoint('row_9')).rejects.toMatchObject({ code: 'policy_log_not_found' });
    expect(await log.audit.progress()).toMatchObject({ size: 0, signedAt: null, queued: 3 });

    const waiting = log.audit.waitForCheckpoint('row_2', { withinMs: 20_000 });
    await log.sequence();
    const { checkpoint, verifierKey } = await waiting;
    expect(openCheckpoint(checkpoint, parseVerifier(verifierKey)).size).toBe(3n);
    expect(await log.audit.progress()).toMatchObject({ size: 3, queued: 0, oldestQueuedSeconds: 0, hasKey: true });
  });

  test('an alarm says that rows waited for longer than was promised', async () => {
    const log = await Log.open(await open());
    await log.add(0, 0);
    await log.run(`update moonguard.audit_queue set queued_at = queued_at - interval '6 seconds'`);
    const { observe, next } = observed();
    const { database, leader } = log;
    const sequencer = new Sequencer({ database, observe, signer: await log.signer(), leader });
    sequencer.start();
    expect(await next(({ type }) => type === 'audit.delayed')).toMatchObject({ waitedMs: expect.any(Number) });
    await sequencer.stop();
  });
});
