/**
 * Runs before `npm start`, `npm test` and the like: installs the dependencies when they are missing or not those of
 * package-lock.json. Plain JavaScript that Node 20 understands, because Node 24 itself is one of the dependencies.
 *
 * What is installed is read from npm's own record, which npm writes last: an interrupted install leaves none, and an
 * `npm install` by hand needs no second install here.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

const OLDEST_NODE = 20;
const INSTALLED = 'node_modules/.package-lock.json';

function packagesIn(file) {
  const { '': _project, ...packages } = JSON.parse(readFileSync(file, 'utf8')).packages;
  return packages;
}

/** Why an install is due, or undefined when everything is in place. */
function reasonToInstall() {
  if (!existsSync(INSTALLED)) return 'node_modules is missing';
  const wanted = packagesIn('package-lock.json');
  const installed = packagesIn(INSTALLED);
  const stale = Object.entries(wanted).filter(
    ([path, { integrity, optional }]) => (installed[path] ? installed[path].integrity !== integrity : !optional), // optional: made for another platform
  ).length;
  if (stale > 0) return `package-lock.json names ${stale} package(s) that node_modules lacks`;
  if (!existsSync('node_modules/node/bin')) return 'the Node of this project is missing';
  return undefined;
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}

function install(reason) {
  process.stdout.write(
    `Installing dependencies: ${reason}. About 700 MB, Node 24 and two PostgreSQL among them; takes a minute or two.\n`,
  );
  const npm = spawnSync('npm ci --no-audit --no-fund', { shell: true, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (npm.status !== 0)
    fail(`${npm.stdout}${npm.stderr}\nnpm ci failed (${npm.signal ?? npm.status}); its output is above.`);
  const left = reasonToInstall();
  if (left)
    fail(
      `${npm.stdout}${npm.stderr}\nnpm ci ended well, yet ${left}. Are install scripts off (npm config get ignore-scripts)?`,
    );
}

const node = process.versions.node;
if (Number.parseInt(node, 10) < OLDEST_NODE)
  fail(`Moonguard needs Node ${OLDEST_NODE} or newer to install itself; this is Node ${node}.`);
const reason = reasonToInstall();
if (reason) install(reason);
