import { openAsBlob } from 'node:fs';
import { tmpdir } from 'node:os';
import { AwsClient } from 'aws4fetch';
import { MoonguardError } from '../errors.ts';
import type { ArchiveLock, S3Settings } from './settings.ts';
import type { ArchiveTarget, FileToPut, ReadableFile } from './target.ts';

interface S3TargetOptions extends S3Settings {
  readonly bucket: string;
  readonly prefix: string;
  readonly lock: ArchiveLock;
}

/** What S3 takes in one request. */
const MOST_BYTES = 5 * 1024 ** 3;
const RETRIES = 3;

/** Archives in a bucket, whose files can be locked until the retention of their rows is over (S3 Object Lock). */
export class S3Target implements ArchiveTarget {
  readonly name: string;
  readonly stagingDirectory = tmpdir();
  readonly #client: AwsClient;
  readonly #bucketUrl: string;
  readonly #prefix: string;
  readonly #lock: ArchiveLock;

  constructor({ accessKeyId, secretAccessKey, sessionToken, region, endpoint, bucket, prefix, lock }: S3TargetOptions) {
    this.name = `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
    this.#client = new AwsClient({
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      service: 's3',
      region,
      retries: RETRIES,
    });
    this.#bucketUrl = `${endpoint?.replace(/\/+$/, '') ?? `https://s3.${region}.amazonaws.com`}/${bucket}`;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
    this.#lock = lock;
  }

  async put({ name, path, bytes, sha256, retainUntil }: FileToPut): Promise<void> {
    if (bytes > MOST_BYTES) {
      throw new MoonguardError('archive_too_large', `${name} has ${bytes} bytes; one request takes ${MOST_BYTES}.`);
    }
    // A blob of a file is read while it is sent. Its hash is in the signature, and S3 compares it with what arrived.
    await this.#request(name, 'PUT', [200], {
      body: await openAsBlob(path),
      headers: {
        'x-amz-content-sha256': sha256,
        'x-amz-checksum-sha256': Buffer.from(sha256, 'hex').toString('base64'),
        ...(this.#lock !== 'none' && {
          'x-amz-object-lock-mode': this.#lock.toUpperCase(),
          'x-amz-object-lock-retain-until-date': retainUntil.toISOString(),
        }),
      },
    });
  }

  async open(name: string): Promise<ReadableFile | undefined> {
    const { status, headers } = await this.#request(name, 'HEAD', [200, 404]);
    if (status === 404) return undefined;
    const byteLength = Number(headers.get('content-length'));
    return {
      byteLength,
      slice: async (start, end = byteLength) => {
        if (start >= end) return new ArrayBuffer(0);
        const range = { headers: { range: `bytes=${start}-${end - 1}` } };
        return (await this.#request(name, 'GET', [206], range)).arrayBuffer();
      },
    };
  }

  async list(): Promise<string[]> {
    const names: string[] = [];
    let page: string | undefined;
    do {
      const query = new URLSearchParams({ 'list-type': '2', 'encoding-type': 'url', prefix: this.#prefix });
      if (page !== undefined) query.set('continuation-token', page);
      const answer = await (await this.#request(`?${query.toString()}`, 'GET', [200])).text();
      const keys = Array.from(answer.matchAll(/<Key>([^<]*)<\/Key>/g), ([, key = '']) =>
        decodeURIComponent(key.replaceAll('+', ' ')),
      );
      names.push(...keys.map((key) => key.slice(this.#prefix.length)));
      page = /<NextContinuationToken>([^<]*)<\/NextContinuationToken>/.exec(answer)?.[1];
    } while (page !== undefined);
    return names.toSorted();
  }

  /** @param name of a file, or a query about the bucket */
  async #request(
    name: string,
    method: string,
    expected: readonly number[],
    more: { readonly body?: Blob; readonly headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const path = name.startsWith('?') ? name : `/${this.#prefix}${name}`.split('/').map(encodeURIComponent).join('/');
    const url = `${this.#bucketUrl}${path}`;
    let answer: Response;
    try {
      answer = await this.#client.fetch(url, { method, ...more });
    } catch (cause) {
      throw new MoonguardError('archive_target_failed', `${this.name} cannot be reached.`, { cause });
    }
    if (expected.includes(answer.status)) return answer;
    const code = /<Code>([^<]*)<\/Code>/.exec(await answer.text())?.[1] ?? 'no reason given';
    throw new MoonguardError('archive_target_failed', `${this.name} answers ${answer.status} to ${method}: ${code}.`);
  }
}
