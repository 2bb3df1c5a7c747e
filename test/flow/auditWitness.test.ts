import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { cosignaturesOf } from '../../src/audit/cosignature.ts';
import { parseVerifier } from '../../src/audit/signedNote.ts';
import { WitnessKeeper } from '../../src/audit/WitnessKeeper.ts';
import { parseWitness } from '../../src/audit/witness.ts';
import { Log } from '../support/auditLog.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { TestWitness } from '../support/witness.ts';

async function watchedLog(database: TestDatabase) {
  const log = await Log.signed(database, 300);
  const { verifierKey } = await log.audit.checkpoint();
  const witness = await TestWitness.open(verifierKey);
  const { observe, next } = observed();
  /** Shows the newest checkpoint, whatever is to be waited for, and waits for what came of it. */
  const show = async () => {
    await log.run('update moonguard.audit_witnesses set next_at = now()');
    const keeper = new WitnessKeeper({ database, observe, witnesses: [parseWitness(witness.setting)] });
    keeper.start();
    const outcome = await next(({ type }) => type === 'audit.witnessed' || type === 'audit.witness_failed');
    await keeper.stop();
    return outcome;
  };
  return { log, witness, show, verifierKey };
}

forEachDatabase('a witness', (open) => {
  test('sees each checkpoint grow out of the last, and its cosignature is kept with it', async () => {
    const { log, witness, show, verifierKey } = await watchedLog(await open());
    await expect(log.audit.witnessedCheckpoint()).rejects.toMatchObject({ code: 'audit_checkpoint_missing' });
    expect(await show()).toEqual({ type: 'audit.witnessed', witness: witness.name, size: 300 });
    await log.add(300, 999);
    await log.sequence();
    expect(await show()).toMatchObject({ type: 'audit.witnessed', size: 1000 });

    expect(witness.answers).toEqual([200, 200]);
    const { checkpoint } = await log.audit.witnessedCheckpoint();
    expect(openCheckpoint(checkpoint, parseVerifier(verifierKey))).toMatchObject({ size: 1000n });
    expect(checkpoint).toContain(`\n— ${witness.name} `);
    expect(checkpoint).not.toContain('other.example');
    expect(await log.audit.witnesses()).toMatchObject([{ size: 1000, failures: 0, cosignedAt: expect.any(Date) }]);
  });
});

test('is asked again from where it stands, when it remembers more or less than was thought', async () => {
  const { log, witness, show } = await watchedLog(await openTestDatabase('postgres'));
  await show();
  await log.add(300, 400);
  await log.sequence();
  await log.run(
    'update moonguard.audit_witnesses set tree_size = 200, checkpoint = null, cosignatures = null, cosigned_at = null',
  );
  expect(await show()).toMatchObject({ type: 'audit.witnessed', size: 401 });
  witness.seen = undefined;
  await log.add(401, 401);
  await log.sequence();
  expect(await show()).toMatchObject({ type: 'audit.witnessed', size: 402 });
  expect(witness.answers).toEqual([200, 409, 200, 409, 200]);
});

test.each([
  ['another tree of the same size', 300, /It has cosigned another tree of 300 leaves: this log is a fork/],
  ['a longer tree with another beginning', 305, /It answered 422: no consistency/],
  ['a shorter tree', 299, /It has cosigned 300 leaves; this log has 299: it was set back/],
])('refuses %s, and the log says so', async (_what, size, reason) => {
  const { log, witness, show } = await watchedLog(await openTestDatabase('postgres'));
  await show();
  const seen = witness.seen;
  await log.tamper('delete from moonguard.audit_leaves');
  await log.tamper('delete from moonguard.audit_tiles');
  await log.tamper(
    `update moonguard.audit_log set tree_size = 0, root = sha256(''), checkpoint = null, signed_at = null`,
  );
  await log.tamper(`delete from moonpay_policy_logs where log_id <> 'row_0'`);
  await log.add(1000, 1000 + size - 2);
  await log.run(`delete from moonguard.audit_queue;
    insert into moonguard.audit_queue (kind, row_id, executed_at) select 'policy_log', id, executed_at from moonpay_policy_logs`);
  await log.sequence();
  expect(await show()).toMatchObject({ type: 'audit.witness_failed', reason: expect.stringMatching(reason) });
  expect(witness.seen).toEqual(seen);
});

test.each<[string, (witness: TestWitness) => void, RegExp]>([
  ['is away', (witness) => (witness.broken = (response) => response.destroy()), /socket|closed|reset/],
  ['answers nonsense', (witness) => (witness.broken = (response) => response.end('hello\n')), /No signature/],
  [
    'answers without end',
    (witness) => (witness.broken = (response) => response.end('x'.repeat(100_000))),
    /longer than/,
  ],
  [
    'sends us elsewhere',
    (witness) => (witness.broken = (response) => response.writeHead(302, { location: 'http://127.0.0.1:1' }).end()),
    /redirect/,
  ],
  ['has an error', (witness) => (witness.broken = (response) => response.writeHead(500).end('later')), /500: later/],
])('that %s is left alone for longer each time, and nothing waits for it', async (_what, breakIt, reason) => {
  const { log, witness, show } = await watchedLog(await openTestDatabase('postgres'));
  breakIt(witness);
  expect(await show()).toMatchObject({ type: 'audit.witness_failed', reason: expect.stringMatching(reason) });
  expect(await show()).toMatchObject({ type: 'audit.witness_failed' });
  await log.add(300, 300);
  expect(await log.sequence()).toMatchObject({ outcome: 'sequenced', edge: { size: 301n } });
  expect(
    await log.run(
      `select failures_count as n, next_at > now() + interval '5 seconds' as later from moonguard.audit_witnesses`,
    ),
  ).toEqual([{ n: 2, later: true }]);
  witness.broken = undefined;
  expect(await show()).toMatchObject({ type: 'audit.witnessed', size: 301 });
});

test('a cosignature is of this checkpoint and by this witness, or it is none', async () => {
  const { log, witness, show } = await watchedLog(await openTestDatabase('postgres'));
  await show();
  const [record] = await log.audit.witnesses();
  const { verifier } = parseWitness(witness.setting);
  const { verifier: stranger } = parseWitness((await TestWitness.open('')).setting);
  const [checkpoint, lines] = [record?.checkpoint ?? '', record?.cosignatures ?? ''];
  const refusal = (code: string) => expect.objectContaining({ code });

  expect(cosignaturesOf(checkpoint, lines, verifier)).toBe(lines);
  expect(() => cosignaturesOf(checkpoint, lines, stranger)).toThrow(refusal('audit_signature_missing'));
  expect(() => cosignaturesOf(checkpoint.replace('\n300\n', '\n301\n'), lines, verifier)).toThrow(
    refusal('audit_signature_wrong'),
  );
  expect(() => parseWitness('nonsense')).toThrow(refusal('log_key_invalid'));
  const { verifierKey } = await log.audit.checkpoint();
  expect(() => parseWitness(`${verifierKey} ${witness.url}`)).toThrow(refusal('log_key_invalid'));
});
