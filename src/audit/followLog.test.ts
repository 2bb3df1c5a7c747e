import { expect, test } from 'vitest';
import { Log } from '../../test/support/auditLog.ts';
import { openTestDatabase } from '../../test/support/testDatabase.ts';
import { followLog } from './followLog.ts';
import { parseVerifier } from './signedNote.ts';

test('checkpoints are followed, each grown out of the one before, until one is not', async () => {
  const log = await Log.signed(await openTestDatabase('postgres'), 3);
  const { checkpoint: kept, verifierKey } = await log.audit.checkpoint();
  await log.add(3, 4);
  await log.sequence();
  const steps = [
    async () => {}, // nothing new
    async () => {
      await log.add(5, 9);
      await log.sequence();
    },
    async () => {
      // Whoever has the key signs what was changed.
      await log.tamper('delete from moonguard.audit_leaves');
      await log.tamper('delete from moonguard.audit_tiles');
      await log.tamper(
        `update moonguard.audit_log set tree_size = 0, root = sha256(''), checkpoint = null, signed_at = null`,
      );
      await log.add(10, 20);
      await log.sequence();
    },
  ];
  const wait = async () => {
    await steps.shift()?.();
    return true;
  };
  const seen: unknown[] = [];
  const follow = async () => {
    const verifiers = [parseVerifier(verifierKey)];
    for await (const { size, grownFrom } of followLog(log.audit, { verifiers, since: kept, wait }))
      seen.push([size, grownFrom]);
  };

  await expect(follow()).rejects.toMatchObject({ code: 'audit_fork' });
  expect(seen).toEqual([
    [5, 3],
    [10, 5],
  ]);
});
