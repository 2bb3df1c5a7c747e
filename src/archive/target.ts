import { MoonguardError } from '../errors.ts';
import { DirectoryTarget } from './directoryTarget.ts';
import { S3Target } from './s3Target.ts';
import type { ArchiveSettings } from './settings.ts';
import type { FileFacts } from './stagedFile.ts';

/** A file of an archive, wherever it lies. */
export interface ReadableFile {
  readonly byteLength: number;
  slice(start: number, end?: number): Promise<ArrayBuffer>;
}

export interface FileToPut extends FileFacts {
  /** With `/` between folders. */
  readonly name: string;
  /** Of the file on this machine; it may be moved away. */
  readonly path: string;
  /** Until when nobody may remove it, where the target can see to that. */
  readonly retainUntil: Date;
}

/** Where archives lie. */
export interface ArchiveTarget {
  /** As a setting names it. */
  readonly name: string;
  /** Where files are made, on this machine. */
  readonly stagingDirectory: string;
  /** All of the file, or nothing. @throws MoonguardError archive_target_failed, archive_too_large */
  put(file: FileToPut): Promise<void>;
  /** Undefined when there is none. @throws MoonguardError archive_target_failed */
  open(name: string): Promise<ReadableFile | undefined>;
  /** Names of all files. @throws MoonguardError archive_target_failed */
  list(): Promise<string[]>;
}

/** @throws MoonguardError archive_target_missing */
export function openTarget({ target, lock = 'none', s3 }: ArchiveSettings): ArchiveTarget {
  if (target === undefined) {
    throw new MoonguardError('archive_target_missing', 'Nothing says where archives are.');
  }
  const [, bucket, prefix = ''] = /^s3:\/\/([^/]+)(?:\/(.*))?$/.exec(target) ?? [];
  if (bucket === undefined) return new DirectoryTarget(target);
  if (s3 === undefined) {
    throw new MoonguardError('archive_target_missing', 'AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set.');
  }
  return new S3Target({ ...s3, bucket, prefix: prefix.replace(/\/+$/, ''), lock });
}
