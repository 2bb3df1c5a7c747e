import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import { type Checkpoint, openCheckpoint } from '../../src/audit/checkpoint.ts';
import { cosignedText } from '../../src/audit/cosignature.ts';
import { parseNote, parseVerifier, signatureLine } from '../../src/audit/signedNote.ts';
import { verifyConsistency } from '../../src/audit/tree.ts';
import { httpServer } from './localServers.ts';

/** A witness as c2sp.org/tlog-witness describes it, for one log, on a port of this machine. */
export class TestWitness {
  readonly name = 'witness.example/w1';
  readonly #keyId: string;
  readonly #publicKey: Buffer;
  readonly #privateKey: KeyObject;
  /** What it cosigned last. */
  seen: Checkpoint | undefined;
  /** Status of each answer. */
  readonly answers: number[] = [];
  /** While it is set, this is all it answers. */
  broken: ((response: ServerResponse) => void) | undefined;
  url = '';

  private constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    this.#privateKey = privateKey;
    this.#publicKey = Buffer.concat([
      Uint8Array.of(4),
      publicKey.export({ format: 'der', type: 'spki' }).subarray(-32),
    ]);
    this.#keyId = hash('sha256', Buffer.concat([Buffer.from(`${this.name}\n`), this.#publicKey])).slice(0, 8);
  }

  static async open(logKey: string): Promise<TestWitness> {
    const witness = new TestWitness();
    const { port } = await httpServer(async (request, response) => {
      const body = await text(request);
      if (request.url === '/add-checkpoint' && witness.broken === undefined) witness.#answer(body, logKey, response);
      else (witness.broken ?? ((other) => other.writeHead(404).end()))(response);
      witness.answers.push(response.statusCode);
    });
    witness.url = `http://127.0.0.1:${port}`;
    return witness;
  }

  /** As it is set. */
  get setting(): string {
    return `${this.name}+${this.#keyId}+${this.#publicKey.toString('base64')} ${this.url}/`;
  }

  #answer(body: string, logKey: string, response: ServerResponse): void {
    const [, old = '', hashes = '', note = ''] = /^old (\d+)\n((?:\S+\n)*)\n(.*)$/s.exec(body) ?? [];
    const oldSize = BigInt(old);
    const proof = hashes
      .split('\n')
      .slice(0, -1)
      .map((line) => Buffer.from(line, 'base64'));
    const checkpoint = openCheckpoint(note, parseVerifier(logKey));
    const { size, root } = checkpoint;
    const seen = this.seen ?? { origin: checkpoint.origin, size: 0n, root: new Uint8Array() };
    const conflict = () => response.writeHead(409, { 'content-type': 'text/x.tlog.size' }).end(`${seen.size}\n`);
    if (oldSize > checkpoint.size) response.writeHead(400).end();
    else if (oldSize !== seen.size) conflict();
    else if (oldSize === checkpoint.size && Buffer.compare(seen.root, checkpoint.root) !== 0) conflict();
    else if (oldSize > 0n && !verifyConsistency({ oldSize, oldRoot: seen.root, size, root, proof }))
      response.writeHead(422).end('no consistency\n');
    else {
      this.seen = checkpoint;
      response.end(this.#cosign(parseNote(note).text));
    }
  }

  #cosign(checkpoint: string): string {
    const time = 1_679_315_147n;
    const signature = Buffer.alloc(8);
    signature.writeBigUInt64BE(time);
    const signed = Buffer.concat([signature, sign(null, cosignedText(checkpoint, time), this.#privateKey)]);
    // Clients pass over what others have signed.
    const stranger = signatureLine({ name: 'other.example', keyId: '00000000' }, signed);
    return stranger + signatureLine({ name: this.name, keyId: this.#keyId }, signed);
  }
}
