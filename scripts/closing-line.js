/**
 * Prints "N passed, N failed" from vitest's report and the exit status of `npm test`. Plain JavaScript, so that it
 * prints even when the install has failed.
 */
import { existsSync, readFileSync } from 'node:fs';

const [report, status] = process.argv.slice(2);
const tests = existsSync(report) ? JSON.parse(readFileSync(report, 'utf8')) : { numPassedTests: 0, numFailedTests: 0 };

// What fails outside a test (a check, the install, a test file that does not load), or no test at all, counts as one.
const well = status === '0' && tests.numPassedTests > 0;
const failed = tests.numFailedTests || (well ? 0 : 1);
console.log(`${tests.numPassedTests} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
