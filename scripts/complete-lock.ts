/**
 * Puts the platform packages that npm left out of package-lock.json back into it (`--check`: only says whether any are
 * missing). npm leaves an optional package out when the registry it asks does not have it, as a mirror with gaps, and
 * then `npm ci` refuses the lock on every machine. The entries carry no integrity: npm adds it where the package is.
 */
import { readFileSync, writeFileSync } from 'node:fs';

interface LockedPackage {
  readonly version: string;
  readonly integrity?: string;
  readonly cpu?: readonly string[];
  readonly dev?: true;
  readonly libc?: readonly string[];
  readonly optional?: true;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly os?: readonly string[];
  readonly peer?: true;
}

interface Lock {
  packages: Record<string, LockedPackage>;
}

const SYSTEM: Readonly<Record<string, string>> = { win: 'win32', windows: 'win32' };
const PLATFORM =
  /(?<os>aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32|windows|win)-(?<cpu>[a-z0-9]+)-?(?<abi>\w*)$/;

/** The entry of a package whose name ends in its platform, such as `@biomejs/cli-linux-x64-musl`. */
function platformPackage(name: string, version: string, parent: LockedPackage): LockedPackage {
  const { os = '', cpu = '', abi = '' } = PLATFORM.exec(name)?.groups ?? {};
  if (os === '' || !/^\d/.test(version))
    throw new Error(`${name}@${version}: neither a platform nor an exact version; add it by hand.`);
  const libc = abi.startsWith('musl') ? 'musl' : abi.startsWith('gnu') && os === 'linux' ? 'glibc' : undefined;
  return {
    version,
    cpu: [cpu],
    ...(parent.dev && { dev: true }),
    ...(libc && { libc: [libc] }),
    optional: true,
    os: [SYSTEM[os] ?? os],
    ...(parent.peer && { peer: true }),
  };
}

function missingFrom({ packages }: Lock): [path: string, entry: LockedPackage][] {
  return Object.entries(packages).flatMap(([parentPath, parent]) =>
    Object.entries(parent.optionalDependencies ?? {})
      .filter(([name]) => !packages[`node_modules/${name}`] && !packages[`${parentPath}/node_modules/${name}`])
      .map(([name, version]): [string, LockedPackage] => [
        `node_modules/${name}`,
        platformPackage(name, version, parent),
      ]),
  );
}

const lock: Lock = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const missing = missingFrom(lock);
if (missing.length === 0) {
  console.log('package-lock.json names the packages of every platform.');
} else if (process.argv.includes('--check')) {
  console.error(`package-lock.json lacks ${missing.length} platform packages, so npm ci refuses it: run npm run lock`);
  process.exitCode = 1;
} else {
  lock.packages = Object.fromEntries(
    [...Object.entries(lock.packages), ...missing].toSorted(([a], [b]) => a.localeCompare(b, 'en')),
  );
  writeFileSync('package-lock.json', `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`Added ${missing.length} platform packages to package-lock.json.`);
}
