import { readFileSync } from 'node:fs';
import { MoonguardError } from '../errors.ts';

/** What stands in a checkpoint or proof. @throws MoonguardError audit_export_invalid when it cannot be read */
export function fileText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MoonguardError('audit_export_invalid', `${path} is no file that can be read (${reason}).`);
  }
}
