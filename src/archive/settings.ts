/** How archives in S3 are kept from being removed too early: Object Lock. */
export const archiveLocks = ['none', 'governance', 'compliance'] as const;
export type ArchiveLock = (typeof archiveLocks)[number];

/** How S3, or what speaks like it, is reached. */
export interface S3Settings {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
  readonly region: string;
  /** Default: that of AWS. */
  readonly endpoint?: string | undefined;
}

/** Where archives go, and how. */
export interface ArchiveSettings {
  /** A directory, or `s3://bucket/prefix`. */
  readonly target?: string | undefined;
  /** How S3 keeps files from being removed before the retention of all their rows is over; default none. */
  readonly lock?: ArchiveLock | undefined;
  /** Whether new archives are encrypted, each under a key of its own; default not. */
  readonly encrypt?: boolean | undefined;
  readonly s3?: S3Settings | undefined;
}
