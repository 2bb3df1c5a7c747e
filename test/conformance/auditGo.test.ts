import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { folder, Log } from '../support/auditLog.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

/** Where Debian's golang-golang-x-mod-dev puts Go's own checker of such logs. */
const goPath = '/usr/share/gocode';
const hasGo = existsSync(`${goPath}/src/golang.org/x/mod/sumdb/tlog`) && spawnSync('go', ['version']).status === 0;
const program = fileURLToPath(new URL('go/verifyExport.go', import.meta.url));

if (hasGo) {
  test(
    'Go opens our checkpoints and finds every row in the tree, and the tree grown from the earlier one',
    {
      timeout: 180_000,
    },
    checkWithGo,
  );
} else {
  test('NOT RUN: Go has not checked our logs, golang-go and golang-golang-x-mod-dev are not installed', () => {
    console.warn('NOT RUN: Go has not checked our logs, golang-go and golang-golang-x-mod-dev are not installed');
  });
}

async function checkWithGo(): Promise<void> {
  const log = await Log.signed(await openTestDatabase('postgres'), 300);
  const earlier = join(folder(), 'earlier');
  writeFileSync(earlier, (await log.audit.checkpoint()).checkpoint);
  await log.add(300, 999);
  await log.sequence();
  const exported = join(folder(), 'export');
  await log.audit.export(exported);
  const { verifierKey } = await log.audit.checkpoint();

  const checker = join(folder(), 'verifyExport');
  const go = { ...process.env, GO111MODULE: 'off', GOPATH: goPath };
  execFileSync('go', ['build', '-o', checker, program], { env: go });
  expect(execFileSync(checker, [exported, verifierKey, earlier], { encoding: 'utf8' })).toBe(
    'consistent with 300\n1000 rows of 1000\n',
  );

  await log.tamper(
    "update moonguard.audit_leaves set salts = overlay(salts placing '\\x00ff00ff'::bytea from 113) where leaf_index = 7",
  );
  const changed = join(folder(), 'export');
  await log.audit.export(changed);
  expect(() => execFileSync(checker, [changed, verifierKey], { stdio: 'pipe' })).toThrow(/invalid transparency proof/);
}
