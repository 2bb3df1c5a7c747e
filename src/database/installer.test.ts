import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { installerSql } from './installer.ts';
import { readMigrationFiles } from './migrationFiles.ts';

test('the committed installer is the one that the migrations give', () => {
  const committed = fileURLToPath(new URL('../../scripts/sql/moonpay-additional-tables.sql', import.meta.url));
  expect(readFileSync(committed, 'utf8') === installerSql(readMigrationFiles()), 'run `npm run installer`').toBe(true);
});
