import { z } from 'zod';
import { type ArchiveSettings, archiveLocks } from './archive/settings.ts';
import { type BreakerSettings, defaultBreaker } from './deliver/breaker.ts';
import { MoonguardError } from './errors.ts';

/**
 * Every setting: its variable, unit, default and what it is for. docs/configuration.md is generated from these
 * descriptions, and this is the only file that reads the environment.
 */
const port = z.coerce.number().int().min(0).max(65_535);
const seconds = z.coerce.number().int().min(1);
/** 1000 years: no interval may be beyond what a timestamp can hold. */
const days = z.coerce.number().int().min(1).max(365_000);
const keyList = z
  .string()
  .transform((text) =>
    text
      .split(',')
      .map((key) => key.trim())
      .filter((key) => key !== ''),
  )
  .pipe(z.array(z.string()));

export const settings = z.object({
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .describe('PostgreSQL or Supabase: postgresql://user:password@host:5432/database. Default: the embedded database.'),
  MOONGUARD_DATA_DIRECTORY: z
    .string()
    .min(1)
    .default('./data')
    .describe('Directory of the embedded database and of the generated master key.'),
  MOONGUARD_HOST: z.string().min(1).default('127.0.0.1').describe('Address the server listens on; 0.0.0.0 for all.'),
  MOONGUARD_PORT: port.default(3000).describe('Port the server listens on; 0 lets the system choose.'),
  MOONGUARD_MASTER_KEY: z
    .string()
    .optional()
    .describe(
      '32 bytes in base64 that encrypt stored secrets: openssl rand -base64 32. Every process on one database needs the same. Default: generated once into master.key in the data directory.',
    ),
  MOONGUARD_LOG_KEY: z
    .string()
    .optional()
    .describe(
      'The key that signs the audit log: `moonguard audit key --name <name of the log>` makes one. Default: log.key in the data directory, which is generated beside the embedded database. A process without it leaves signing to the others. Two, separated by a comma, while one takes the place of the other: the one signs that the database names.',
    ),
  MOONGUARD_ARCHIVE: z
    .string()
    .min(1)
    .optional()
    .describe('Where archives of the policy log go: a directory, or s3://bucket/prefix. Default: they are not made.'),
  MOONGUARD_ARCHIVE_ENCRYPT: z
    .stringbool()
    .default(false)
    .describe(
      'Whether each new archive is encrypted under a key of its own, which is kept in the database and can be erased.',
    ),
  MOONGUARD_ARCHIVE_LOCK: z
    .enum(archiveLocks)
    .default('none')
    .describe(
      'How S3 keeps archives from being removed before the retention of all their rows is over (Object Lock): none, governance or compliance.',
    ),
  MOONGUARD_ARCHIVE_S3_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe('Address of a storage that speaks S3. Default: that of AWS in AWS_REGION.'),
  AWS_REGION: z.string().min(1).default('us-east-1').describe('Region of the bucket of archives.'),
  AWS_ACCESS_KEY_ID: z.string().optional().describe('Key that archives are put into S3 and read with.'),
  AWS_SECRET_ACCESS_KEY: z.string().optional().describe('Its secret.'),
  AWS_SESSION_TOKEN: z.string().optional().describe('Its token, where the key is a temporary one.'),
  MOONGUARD_LOG_WITNESSES: keyList
    .default([])
    .describe(
      'Who else watches the audit log and cosigns that it only grows (c2sp.org/tlog-witness): "<verifier key> <URL>" each, separated by commas. Default: nobody.',
    ),
  MOONGUARD_LOG_DIRECTORY: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Directory that is kept at the newest checkpoint of the audit log, for any web server to serve (c2sp.org/tlog-tiles). Default: none.',
    ),
  MOONPAY_WEBHOOK_KEYS_SANDBOX: keyList
    .default([])
    .describe(
      "MoonPay's webhook keys (wk_test_…) of the sandbox, comma-separated, besides those added with `moonguard keys add`.",
    ),
  MOONPAY_WEBHOOK_KEYS_PRODUCTION: keyList
    .default([])
    .describe(
      "MoonPay's webhook keys (wk_live_…) of production, comma-separated, besides those added with `moonguard keys add`.",
    ),
  MOONGUARD_SIGNATURE_TOLERANCE_SECONDS: seconds
    .default(300)
    .describe('How far the signed time of a webhook may lie in the past or future, in seconds.'),
  MOONGUARD_MAX_BODY_BYTES: z.coerce
    .number()
    .int()
    .min(1024)
    .default(1_048_576)
    .describe('Largest webhook body that is accepted, in bytes.'),
  MOONGUARD_DELIVERY_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(1024)
    .default(256)
    .describe('Deliveries in flight at a time in one process; one endpoint alone gets at most half of them.'),
  MOONGUARD_LEASE_MS: z.coerce
    .number()
    .int()
    .min(1000)
    .default(15_000)
    .describe(
      "How long a worker may hold a delivery beyond the endpoint's timeout, in milliseconds: as long as this, the deliveries of a killed process wait.",
    ),
  MOONGUARD_BREAKER_FAILURES: z.coerce
    .number()
    .int()
    .min(1)
    .default(defaultBreaker.failures)
    .describe('Failed requests in a row after which an endpoint is suspended.'),
  MOONGUARD_BREAKER_PROBE_MS: z.coerce
    .number()
    .int()
    .min(100)
    .default(defaultBreaker.probeMs)
    .describe('A suspended endpoint gets one request in this time, in milliseconds, until one succeeds.'),
  MOONGUARD_BREAKER_DISABLE_AFTER_HOURS: z.coerce
    .number()
    .positive()
    .default(defaultBreaker.disableAfterMs / 3_600_000)
    .describe('An endpoint that was suspended for so long, in hours, is failed, and its deliveries are held.'),
  MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS: z
    .stringbool()
    .default(false)
    .describe('Whether sandbox endpoints may be on this machine (127.0.0.1, ::1). Production endpoints never may.'),
  MOONGUARD_EVENT_RETENTION_DAYS: days
    .default(90)
    .describe(
      'Days after which an event is removed, with its deliveries and attempts. One that is undecided, or still to be delivered, stays.',
    ),
  MOONGUARD_ATTEMPT_RETENTION_DAYS: days
    .optional()
    .describe('Days after which attempts are removed. Default, and at most: as long as their event.'),
  MOONGUARD_BODY_RETENTION_DAYS: days
    .optional()
    .describe(
      'Days after which the bodies of an event and of the answers to it are emptied; it can no longer be delivered then. Default, and at most: as long as the event.',
    ),
  MOONGUARD_METRICS_TOKEN: z
    .string()
    .min(16)
    .optional()
    .describe(
      'Token that GET /metrics wants, as authorization: Bearer <token>: at least 16 characters. Default: there are no metrics.',
    ),
  MOONGUARD_LOG_LEVEL: z
    .enum(['silent', 'error', 'warn', 'info', 'debug'])
    .default('info')
    .describe('Least severe log lines that are written: silent, error, warn, info or debug.'),
  NODE_ENV: z.string().optional().describe("production: warns about what is fine on a developer's machine only."),
});

export interface Config {
  readonly databaseUrl: string | undefined;
  readonly dataDirectory: string;
  readonly host: string;
  readonly port: number;
  readonly masterKey: string | undefined;
  readonly logKey: string | undefined;
  readonly witnesses: readonly string[];
  readonly logDirectory: string | undefined;
  readonly webhookKeys: { readonly sandbox: readonly string[]; readonly production: readonly string[] };
  readonly signatureToleranceSeconds: number;
  readonly maxBodyBytes: number;
  readonly deliveryConcurrency: number;
  readonly leaseMs: number;
  readonly breaker: BreakerSettings;
  readonly allowLoopbackDestinations: boolean;
  readonly retention: {
    readonly eventDays: number;
    readonly attemptDays: number | undefined;
    readonly bodyDays: number | undefined;
  };
  readonly archive: ArchiveSettings;
  /** Without one, metrics are not served. */
  readonly metricsToken: string | undefined;
  readonly logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug';
  /** Whether NODE_ENV says that this is no developer's machine. */
  readonly isProduction: boolean;
}

/**
 * Reads the settings; a variable that is empty counts as not set.
 * @throws MoonguardError configuration_invalid naming every variable that is wrong, not only the first
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>> = process.env): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = settings.safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.map((issue) => ({
      code: 'setting_invalid',
      field: issue.path.join('.'),
      message: issue.message,
    }));
    throw new MoonguardError(
      'configuration_invalid',
      problems.map(({ field, message }) => `${field}: ${message}`).join('\n'),
      { problems },
    );
  }
  const values = parsed.data;
  return {
    databaseUrl: values.DATABASE_URL,
    dataDirectory: values.MOONGUARD_DATA_DIRECTORY,
    host: values.MOONGUARD_HOST,
    port: values.MOONGUARD_PORT,
    masterKey: values.MOONGUARD_MASTER_KEY,
    logKey: values.MOONGUARD_LOG_KEY,
    witnesses: values.MOONGUARD_LOG_WITNESSES,
    logDirectory: values.MOONGUARD_LOG_DIRECTORY,
    webhookKeys: { sandbox: values.MOONPAY_WEBHOOK_KEYS_SANDBOX, production: values.MOONPAY_WEBHOOK_KEYS_PRODUCTION },
    signatureToleranceSeconds: values.MOONGUARD_SIGNATURE_TOLERANCE_SECONDS,
    maxBodyBytes: values.MOONGUARD_MAX_BODY_BYTES,
    deliveryConcurrency: values.MOONGUARD_DELIVERY_CONCURRENCY,
    leaseMs: values.MOONGUARD_LEASE_MS,
    breaker: {
      failures: values.MOONGUARD_BREAKER_FAILURES,
      probeMs: values.MOONGUARD_BREAKER_PROBE_MS,
      disableAfterMs: values.MOONGUARD_BREAKER_DISABLE_AFTER_HOURS * 3_600_000,
    },
    allowLoopbackDestinations: values.MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS,
    retention: {
      eventDays: values.MOONGUARD_EVENT_RETENTION_DAYS,
      attemptDays: values.MOONGUARD_ATTEMPT_RETENTION_DAYS,
      bodyDays: values.MOONGUARD_BODY_RETENTION_DAYS,
    },
    archive: {
      target: values.MOONGUARD_ARCHIVE,
      encrypt: values.MOONGUARD_ARCHIVE_ENCRYPT,
      lock: values.MOONGUARD_ARCHIVE_LOCK,
      s3: s3Settings(values),
    },
    metricsToken: values.MOONGUARD_METRICS_TOKEN,
    logLevel: values.MOONGUARD_LOG_LEVEL,
    isProduction: values.NODE_ENV === 'production',
  };
}

function s3Settings(values: z.output<typeof settings>): ArchiveSettings['s3'] {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = values;
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return {
    accessKeyId,
    secretAccessKey,
    sessionToken: values.AWS_SESSION_TOKEN,
    region: values.AWS_REGION,
    endpoint: values.MOONGUARD_ARCHIVE_S3_ENDPOINT,
  };
}
