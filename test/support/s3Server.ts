import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import type { S3Settings } from '../../src/archive/settings.ts';
import { httpServer } from './localServers.ts';

const sha256 = (data: string | Uint8Array): Buffer => createHash('sha256').update(data).digest();
const hmac = (key: string | Uint8Array, text: string): Buffer => createHmac('sha256', key).update(text).digest();

export interface StoredObject {
  readonly body: Buffer;
  readonly lockMode: string | undefined;
  readonly retainUntil: string | undefined;
}

/** Speaks as much of S3 as archives need, and refuses what the real one refuses: a wrong signature, hash or checksum. */
export class S3Server {
  readonly objects = new Map<string, StoredObject>();
  /** Answers the next so many requests with 503. */
  failures = 0;
  /** Keys in one page of a listing. */
  pageSize = 1_000;
  settings: S3Settings = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'a/secret+key', region: 'eu-central-1' };

  static async start(): Promise<S3Server> {
    const s3 = new S3Server();
    const { port } = await httpServer((request, response) => s3.#answer(request, response));
    s3.settings = { ...s3.settings, endpoint: `http://127.0.0.1:${port}` };
    return s3;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const refuse = (status: number, code: string): void => {
      response.writeHead(status).end(`<Error><Code>${code}</Code></Error>`);
    };
    if (this.failures > 0) {
      this.failures--;
      refuse(503, 'SlowDown');
    } else if (!this.#isSigned(request)) refuse(403, 'SignatureDoesNotMatch');
    else if (request.method === 'PUT') this.#put(request, body, response, refuse);
    else this.#get(request, response, refuse);
  }

  #put(
    { url = '', headers }: IncomingMessage,
    body: Buffer,
    response: ServerResponse,
    refuse: (status: number, code: string) => void,
  ): void {
    const hash = sha256(body);
    const lockMode = headers['x-amz-object-lock-mode'];
    const retainUntil = headers['x-amz-object-lock-retain-until-date'];
    if (headers['content-length'] === undefined) refuse(411, 'MissingContentLength');
    else if (headers['x-amz-content-sha256'] !== hash.toString('hex')) refuse(400, 'XAmzContentSHA256Mismatch');
    else if (headers['x-amz-checksum-sha256'] !== hash.toString('base64')) refuse(400, 'BadDigest');
    else if ((lockMode === undefined) !== (retainUntil === undefined)) refuse(400, 'InvalidArgument');
    else {
      this.objects.set(decodeURIComponent(url), {
        body,
        lockMode: lockMode?.toString(),
        retainUntil: retainUntil?.toString(),
      });
      response.writeHead(200).end();
    }
  }

  #get(
    { method, url = '', headers }: IncomingMessage,
    response: ServerResponse,
    refuse: (status: number, code: string) => void,
  ): void {
    const { pathname, searchParams } = new URL(url, 'http://s3');
    if (searchParams.get('list-type') === '2') {
      response.writeHead(200).end(this.#list(pathname, searchParams));
      return;
    }
    const object = this.objects.get(decodeURIComponent(pathname));
    if (object === undefined) {
      refuse(404, 'NoSuchKey');
      return;
    }
    const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const part = start === undefined ? object.body : object.body.subarray(Number(start), Number(end) + 1);
    response.writeHead(start === undefined ? 200 : 206, { 'content-length': part.length });
    response.end(method === 'HEAD' ? undefined : part);
  }

  #list(bucket: string, query: URLSearchParams): string {
    const prefix = `${decodeURIComponent(bucket)}/${query.get('prefix') ?? ''}`;
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix)).toSorted();
    const from = Number(query.get('continuation-token') ?? 0);
    const contents = keys
      .slice(from, from + this.pageSize)
      .map((key) => encodeURIComponent(key.slice(bucket.length + 1)).replaceAll('%20', '+'))
      .map((key) => `<Contents><Key>${key}</Key></Contents>`);
    const next = from + this.pageSize;
    const more = next < keys.length ? `<NextContinuationToken>${next}</NextContinuationToken>` : '';
    return `<ListBucketResult>${contents.join('')}${more}</ListBucketResult>`;
  }

  /** AWS Signature Version 4, as its documentation tells to compute it. */
  #isSigned({ method = '', url = '', headers }: IncomingMessage): boolean {
    const { accessKeyId, secretAccessKey, region } = this.settings;
    const [, credential = '', signedHeaders = '', signature = ''] =
      /^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
        headers.authorization ?? '',
      ) ?? [];
    const time = String(headers['x-amz-date']);
    const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`;
    const names = signedHeaders.split(';');
    const mustBeSigned = Object.keys(headers).filter((name) => name === 'host' || name.startsWith('x-amz-'));
    if (credential !== `${accessKeyId}/${scope}` || mustBeSigned.some((name) => !names.includes(name))) return false;
    const [path = '', query = ''] = url.split('?');
    const canonical = [
      method,
      path,
      query
        .split('&')
        .map((pair) => pair.split('=').map((part) => encodeURIComponent(decodeURIComponent(part.replaceAll('+', ' ')))))
        .map((pair) => pair.join('='))
        .toSorted()
        .join('&'),
      ...names.map((name) => `${name}:${String(headers[name]).trim()}`),
      '',
      signedHeaders,
      headers['x-amz-content-sha256'],
    ].join('\n');
    const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(canonical).toString('hex')].join('\n');
    const key = [region, 's3', 'aws4_request'].reduce<Uint8Array>(
      hmac,
      hmac(`AWS4${secretAccessKey}`, time.slice(0, 8)),
    );
    return hmac(key, toSign).toString('hex') === signature;
  }
}
