import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { AuditService, verifyExport, verifyProof } from '../../src/audit/AuditService.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { newLogKey, openLogKey } from '../../src/audit/logKey.ts';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import { parseSigner, parseVerifier } from '../../src/audit/signedNote.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { folder, Log, logKey } from '../support/auditLog.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

const name = 'example.com/policy-log';

/** A log of three rows whose key is in a data directory. */
async function logOnFile(database: TestDatabase) {
  const log = await Log.open(database);
  const dataDirectory = folder();
  writeFileSync(join(dataDirectory, 'log.key'), `${newLogKey(name)}\n`);
  const place = { logKey: undefined, dataDirectory };
  const audit = new AuditService({ database, dataDirectory });
  const findSigner = () => openLogKey(database.db, { ...place, mayMake: false, newName: () => '' }, () => {});
  const { observe, next } = observed();
  const signer = await findSigner();
  if (signer === undefined) throw new Error('There is no key.');
  const sequencer = new Sequencer({ database, observe, signer, findSigner, leader: systemRuntime.newId() });
  await log.add(0, 2);
  sequencer.start();
  await next(({ type }) => type === 'audit.sequenced');
  return { log, audit, sequencer, next, keyFile: join(dataDirectory, 'log.key') };
}

forEachDatabase('another key', (open) => {
  test('signs a checkpoint with the old one, then alone, without a pause of those who sequence', async () => {
    const { log, audit, sequencer, next, keyFile } = await logOnFile(await open());
    const before = await audit.checkpoint();
    const oldExport = join(folder(), 'export');
    await audit.export(oldExport);
    const oldProof = await audit.prove('row_1');

    const { retired, verifierKey, handover } = await audit.rotateKey();
    expect(retired).toBe(before.verifierKey);
    expect((await audit.checkpoint()).checkpoint).toBe(handover);
    for (const key of [retired, verifierKey]) {
      expect(openCheckpoint(handover ?? '', parseVerifier(key))).toMatchObject({ origin: name, size: 3n });
    }
    expect(
      readFileSync(keyFile, 'utf8')
        .trim()
        .split('\n')
        .map((key) => parseSigner(key).verifier.text),
    ).toEqual([verifierKey]);

    await log.add(3, 4);
    expect(await next(({ type }) => type === 'audit.sequenced')).toMatchObject({ leaves: 2, size: 5 });
    await sequencer.stop();
    const after = await audit.checkpoint();
    expect(after.verifierKey).toBe(verifierKey);
    expect(() => openCheckpoint(after.checkpoint, parseVerifier(retired))).toThrow(
      expect.objectContaining({ code: 'audit_signature_missing' }),
    );
    expect(await audit.verify({ earlier: before.checkpoint })).toMatchObject({ verified: 5, findings: [] });
    expect(await audit.verify({ verifierKey: [retired, verifierKey], earlier: before.checkpoint })).toMatchObject({
      verified: 5,
      findings: [],
    });
    await expect(audit.verify({ verifierKey: retired })).rejects.toMatchObject({ code: 'audit_signature_missing' });
    expect(await verifyExport(oldExport, { verifierKey: retired })).toMatchObject({ verified: 3, findings: [] });
    expect(verifyProof(oldProof, [verifierKey, retired]).index).toBe(1n);
    expect(await audit.keys()).toMatchObject([
      { verifierKey, retiredAt: null, handover },
      { verifierKey: retired, retiredAt: expect.any(Date), handover: null },
    ]);
  });
});

test('a key from the setting has its successor beside it, and is never taken again', async () => {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 1);
  const { verifierKey: first } = await log.audit.checkpoint();
  const [second, stranger] = [newLogKey(name), newLogKey('example.com/other')];
  const auditWith = (...keys: string[]) => new AuditService({ database, logKey: keys.join(',') });

  await expect(auditWith(logKey).rotateKey()).rejects.toMatchObject({ code: 'log_key_successor_missing' });
  await expect(auditWith(logKey, stranger).rotateKey()).rejects.toMatchObject({ code: 'log_key_successor_missing' });
  await expect(auditWith(second).rotateKey()).rejects.toMatchObject({ code: 'log_key_mismatch' });
  await expect(new AuditService({ database }).rotateKey()).rejects.toMatchObject({ code: 'log_key_missing' });
  expect(await auditWith(logKey, second).rotateKey()).toMatchObject({ retired: first });
  await expect(auditWith(logKey, second).rotateKey()).rejects.toMatchObject({ code: 'log_key_successor_missing' });

  await log.add(1, 1);
  await expect(log.sequence()).rejects.toMatchObject({ code: 'log_key_mismatch' });
});

test('no key signs what another did not sign', async () => {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 10);
  await log.tamper(`update moonguard.audit_log set tree_size = 9`);
  const audit = new AuditService({ database, logKey: `${logKey},${newLogKey(name)}` });

  await expect(audit.rotateKey()).rejects.toMatchObject({ code: 'audit_tree_inconsistent' });
});
