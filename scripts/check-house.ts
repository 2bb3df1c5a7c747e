/**
 * The rules of this code base that no linter knows: where SQL, the clock and imports may stand, how long and how named
 * a file may be, what a migration says first. Prints `file:line  rule  what to do` and exits with 1 on any finding.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';

const LONGEST_FILE = 400;
const LONGEST_MEDIAN = 150;

/** A file's text; in `code` every comment is blanked out, line breaks kept. */
interface SourceFile {
  readonly path: string;
  readonly text: string;
  readonly code: string;
}

interface Finding {
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly advice: string;
}

/** `forbidden` may not stand in the files that `where` matches and `except` does not. */
interface WordRule {
  readonly rule: string;
  readonly where: RegExp;
  readonly except?: RegExp;
  readonly forbidden: RegExp;
  readonly in: 'path' | 'text' | 'code';
  readonly advice: string;
}

/** No file that `from` matches imports one that `to` matches; type imports are free unless `typesToo`. */
interface ImportZone {
  readonly rule: string;
  readonly from: RegExp;
  readonly to: RegExp;
  readonly typesToo: boolean;
  readonly advice: string;
}

const TEST = /^test\/|\.test\.tsx?$/;
const GENERATED = /\.generated\.\w+$|^scripts\/sql\/|(^|\/)package-lock\.json$/;
const MAY_HOLD_SQL = /^src\/(\w+\/)+store\/|^src\/database\/|\.test\.ts$/;
const MOVE_QUERY = "Move the query to the domain's store/ folder, one file per operation.";

const words: readonly WordRule[] = [
  {
    rule: 'name-says-nothing',
    where: /./,
    except: /^test\/types\//,
    in: 'path',
    forbidden: /(^|\/)(\w*(utils?|helpers?|manager)|common|lib|types|constants)(\.[\w.]+)?(?=\/|$)/i,
    advice: 'Name the file for the concept it is about.',
  },
  {
    rule: 'leak',
    where: /./,
    in: 'text',
    forbidden: /(?<![\w.])\/(work|root)\/|\bregistry\.[\w.-]*(npm|yarn)|"resolved": "\w+:/,
    advice: 'Take out the path or registry host: it is true on one machine only.',
  },
  {
    rule: 'query-outside-store',
    where: /^src\/.*\.ts$/,
    except: MAY_HOLD_SQL,
    in: 'code',
    forbidden: /\bsql\b[^;]*from 'kysely'|\.(selectFrom|insertInto|updateTable|deleteFrom|mergeInto)\(/,
    advice: MOVE_QUERY,
  },
  {
    rule: 'sql-outside-store',
    where: /^src\/.*\.ts$/,
    except: MAY_HOLD_SQL,
    in: 'code',
    forbidden: /['"`]\s*(select\s[^'"`]*\sfrom|insert\s+into|update\s+[\w."]+\s+set|delete\s+from|with\s+\w+\s+as)\s/,
    advice: MOVE_QUERY,
  },
  {
    rule: 'clock-outside-runtime',
    where: /^src\/.*\.tsx?$/,
    except: /^src\/runtime\.ts$|\.test\.ts$/,
    in: 'code',
    forbidden: /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\brandomUUID\b|from 'uuid'/,
    advice: 'Take the time, the id or the random number from the Runtime that is passed in.',
  },
  {
    rule: 'barrel',
    where: /^src\/.*\.tsx?$/,
    except: /^src\/index\.ts$/,
    in: 'code',
    forbidden: /^export\s+(type\s+)?(\*|\{[^}]*\})[^;]*?\sfrom\s/m,
    advice: 'Import from the file that declares it; src/index.ts is the only barrel.',
  },
  {
    rule: 'test-sleeps',
    where: TEST,
    except: /^test\/support\/signals\.ts$/, // the deadline of every wait
    in: 'code',
    forbidden: /\bsetTimeout\b|'(node:)?timers\/promises'/,
    advice: 'Wait on an observation, a promise or a notification instead of time.',
  },
  {
    rule: 'test-left-out',
    where: TEST,
    except: /^test\/support\/besideCheckout\.ts$/, // says what it leaves out
    in: 'code',
    forbidden: /\.(only|skip|skipIf|runIf|todo)\b\s*\(/,
    advice: 'Run every test, always; a test that lacks something fails and says what.',
  },
];

const DOMAINS = /^src\/(receive|webhooks|deliver|compliance|policy|audit|retention|archive|jobs)\//;
const SHELLS = /^src\/(http|cli)\//;

const zones: readonly ImportZone[] = [
  {
    rule: 'domain-imports-shell',
    from: DOMAINS,
    to: SHELLS,
    typesToo: true,
    advice: 'Turn the dependency round: http/ and cli/ call the domain.',
  },
  {
    rule: 'shell-imports-store',
    from: SHELLS,
    to: /^src\/(\w+\/store|database)\//,
    typesToo: false,
    advice: "Call the domain's service; a shell holds no rules and no queries.",
  },
  {
    rule: 'imports-wiring',
    from: /^src\/(?!index\.ts|http\/|cli\/)/,
    to: /^src\/moonguard\.ts$/,
    typesToo: true,
    advice: 'Take what you need as a dependency; only index.ts, http/ and cli/ know the wiring.',
  },
];

const MIGRATION_HEADER = ['-- Why:', '-- Locks:', '-- Older program:'];

function readFiles(): SourceFile[] {
  const listed = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    encoding: 'utf8',
  });
  return [...new Set(listed.split('\0'))]
    .filter((path) => path !== '' && existsSync(path))
    .map((path) => ({ path, text: readFileSync(path, 'utf8') }))
    .filter(({ text }) => !text.includes('\0')) // binary
    .map(({ path, text }) => ({ path, text, code: blankComments(text) }));
}

function blankComments(text: string): string {
  const stringOrComment = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`|\/\/.*|\/\*[\s\S]*?\*\//g;
  return text.replace(stringOrComment, (token) => (token.startsWith('/') ? token.replace(/\S/g, ' ') : token));
}

const lineAt = (text: string, index: number): number => text.slice(0, index).split('\n').length;
const lineCount = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0);

function checkWords(file: SourceFile): Finding[] {
  return words
    .filter(({ where, except }) => where.test(file.path) && !except?.test(file.path))
    .flatMap(({ rule, forbidden, in: part, advice }) =>
      [...file[part].matchAll(new RegExp(forbidden, `${forbidden.flags}g`))].map(({ index }) => ({
        path: file.path,
        line: part === 'path' ? 1 : lineAt(file[part], index),
        rule,
        advice,
      })),
    );
}

function checkImports(file: SourceFile): Finding[] {
  if (!file.path.startsWith('src/') || TEST.test(file.path)) return [];
  const imports = file.code.matchAll(/\b(?:import|export)\b(\s+type\b)?[^;'"]*['"](\.[^'"]+)['"]/g);
  return [...imports].flatMap(({ 1: typeOnly, 2: specifier = '', index }) => {
    const target = posix.join(posix.dirname(file.path), specifier);
    return zones
      .filter(({ from, to, typesToo }) => from.test(file.path) && to.test(target) && (typesToo || !typeOnly))
      .map(({ rule, advice }) => ({ path: file.path, line: lineAt(file.code, index), rule, advice }));
  });
}

function checkLength({ path, text }: SourceFile): Finding[] {
  const isCode = /\.(ts|tsx|js|sql|css)$/.test(path) && !GENERATED.test(path);
  if (!isCode || lineCount(text) <= LONGEST_FILE || /^\s*(\/\/|--) Long because: \S/m.test(text)) return [];
  const advice = `Split it, or say why not in a line "Long because: …" (${lineCount(text)} lines, ${LONGEST_FILE} allowed).`;
  return [{ path, line: LONGEST_FILE + 1, rule: 'long-file', advice }];
}

function checkMigrationHeader({ path, text }: SourceFile): Finding[] {
  if (!/^migrations\/.*\.sql$/.test(path)) return [];
  const header = /^(--.*\n)*/.exec(text)?.[0] ?? '';
  return MIGRATION_HEADER.filter((start) => !header.split('\n').some((line) => line.startsWith(start))).map(
    (start) => ({
      path,
      line: 1,
      rule: 'migration-header',
      advice: `Add a line "${start} …" to the comment that begins the file.`,
    }),
  );
}

function medianLength(files: readonly SourceFile[]): number {
  const lengths = files
    .filter(({ path }) => /^src\/.*\.tsx?$/.test(path) && !TEST.test(path) && !GENERATED.test(path))
    .map(({ text }) => lineCount(text))
    .toSorted((a, b) => a - b);
  return lengths[Math.floor(lengths.length / 2)] ?? 0;
}

const files = readFiles();
const findings = files.flatMap((file) => [
  ...checkWords(file),
  ...checkImports(file),
  ...checkLength(file),
  ...checkMigrationHeader(file),
]);
const median = medianLength(files);
if (median >= LONGEST_MEDIAN) {
  const advice = `Split the longest: the median source file has ${median} lines, it should stay below ${LONGEST_MEDIAN}.`;
  findings.push({ path: 'src', line: 1, rule: 'long-median', advice });
}

for (const { path, line, rule, advice } of findings) console.log(`${path}:${line}  ${rule}  ${advice}`);
console.log(`House: ${files.length} files, median source file ${median} lines, ${findings.length} findings.`);
if (findings.length > 0) process.exitCode = 1;
