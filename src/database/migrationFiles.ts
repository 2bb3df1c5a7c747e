import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MoonguardError } from '../errors.ts';

export interface MigrationFile {
  /** From 1, without gaps. */
  readonly number: number;
  /** The file's name without `.sql`. */
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the text, in hex. */
  readonly checksum: string;
}

/** `migrations/` of the package: two folders up from here, in src/ and in dist/ alike. */
const packageMigrations = fileURLToPath(new URL('../../migrations', import.meta.url));

/**
 * Reads `NNNN_name.sql` files, in the order of their numbers.
 *
 * @throws MoonguardError `migration_failed` when a name does not fit or a number is missing or given twice.
 */
export function readMigrationFiles(folder: string = packageMigrations): MigrationFile[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .toSorted();
  return names.map((fileName, index) => {
    const number = Number(/^(\d{4})_[a-z0-9_]+\.sql$/.exec(fileName)?.[1]);
    if (number !== index + 1) {
      const expected = String(index + 1).padStart(4, '0');
      throw new MoonguardError('migration_failed', `${fileName}: expected a file named ${expected}_<name>.sql`);
    }
    // A checkout on Windows may have other line ends; it is the same migration.
    const sql = readFileSync(`${folder}/${fileName}`, 'utf8').replaceAll('\r\n', '\n');
    const checksum = createHash('sha256').update(sql).digest('hex');
    return { number, name: fileName.slice(0, -'.sql'.length), sql, checksum };
  });
}
