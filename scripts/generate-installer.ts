import { fileURLToPath } from 'node:url';
import { installerSql } from '../src/database/installer.ts';
import { readMigrationFiles } from '../src/database/migrationFiles.ts';
import { writeGenerated } from './generatedFile.ts';

const target = fileURLToPath(new URL('sql/moonpay-additional-tables.sql', import.meta.url));

writeGenerated(target, installerSql(readMigrationFiles()), 'installer');
