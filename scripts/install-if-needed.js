/**
 * Runs before `npm start`, `npm test` and the like: installs the dependencies when they are missing or not those of
 * package-lock.json. Plain JavaScript that Node 20 understands, because Node 24 itself is one of the dependencies.
 *
 * What is installed is read from npm's own record, which npm writes last: an interrupted install leaves none, and an
 * `npm install` by hand needs no second one here.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const OLDEST_NODE = 20;
const RECORD = 'node_modules/.package-lock.json';

function packagesIn(file) {
  const { '': _project, ...packages } = JSON.parse(readFileSync(file, 'utf8')).packages;
  return packages;
}

/** Why an install is due, or undefined when everything is in place. */
function reasonToInstall() {
  if (!existsSync(RECORD)) return 'node_modules is missing or unfinished';
  const installed = packagesIn(RECORD);
  const stale = Object.entries(packagesIn('package-lock.json')).filter(([path, { version, optional }]) => {
    const found = installed[path];
    return found ? found.version !== version : !optional; // an optional package may be made for another platform
  });
  if (stale.length > 0) return `node_modules lacks ${stale.length} of the packages that package-lock.json names`;
  if (!existsSync('node_modules/node/bin')) return 'the Node of this project is missing';
  return undefined;
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function install(reason) {
  process.stdout.write(`Installing: ${reason}. Takes a minute or two: 700 MB with Node 24 and two PostgreSQL.\n`);
  const npm = spawnSync('npm ci --no-audit --no-fund', { shell: true, encoding: 'utf8', maxBuffer: 2 ** 26 });
  const output = `${npm.stdout}${npm.stderr}`;
  if (npm.status !== 0) fail(`${output}\nnpm ci failed (${npm.signal ?? npm.status}); its output is above.`);
  const left = reasonToInstall();
  if (left)
    fail(`${output}\nnpm ci ended well, yet ${left}. Does npm run install scripts (npm config get ignore-scripts)?`);
}

const version = process.versions.node;
if (Number.parseInt(version, 10) < OLDEST_NODE) {
  fail(`Moonguard needs Node ${OLDEST_NODE} or newer to install itself; this is Node ${version}.`);
}
const reason = reasonToInstall();
if (reason) install(reason);
// The scripts begin with `exec`, so that signals reach the program and not the shell that npm puts before it. cmd.exe
// has no such command: give it one.
if (process.platform === 'win32') writeFileSync('node_modules/.bin/exec.cmd', '@%*\r\n');
