import { MoonguardError } from '../errors.ts';
import { formatGrowthProof, type GrowthProof } from './growthProof.ts';
import { parseCosigner, type Verifier } from './signedNote.ts';

/** Somebody else who remembers how far the log had come, and cosigns that it only grows: c2sp.org/tlog-witness. */
export interface Witness {
  readonly verifier: Verifier;
  /** Its submission prefix. */
  readonly url: string;
}

/** What it said to a checkpoint. */
export type WitnessAnswer =
  | { readonly outcome: 'cosigned'; readonly lines: string }
  /** It remembers another size than the one that the proof begins at. */
  | { readonly outcome: 'other_size'; readonly size: bigint }
  | { readonly outcome: 'refused'; readonly reason: string };

const TIMEOUT_MS = 10_000;
const LONGEST_ANSWER = 64 * 1024;

/** @param text `<name>+<key id>+<base64> <URL>` @throws MoonguardError log_key_invalid */
export function parseWitness(text: string): Witness {
  const [key = '', url = '', ...others] = text.trim().split(/\s+/);
  if (others.length > 0 || !/^https?:\/\/\S+$/.test(url)) {
    throw new MoonguardError('log_key_invalid', 'A witness reads <name>+<key id>+<base64> <URL>.');
  }
  return { verifier: parseCosigner(key), url: url.replace(/\/+$/, '') };
}

/** One request. A witness that cannot be reached has refused. */
export async function askWitness({ url }: Witness, proof: GrowthProof): Promise<WitnessAnswer> {
  try {
    const response = await fetch(`${url}/add-checkpoint`, {
      method: 'POST',
      body: formatGrowthProof(proof),
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await shortText(response);
    if (response.ok) return { outcome: 'cosigned', lines: text };
    const [size] = /^(0|[1-9]\d{0,18})\n$/.exec(text) ?? [];
    if (response.status === 409 && size !== undefined) return { outcome: 'other_size', size: BigInt(size) };
    return { outcome: 'refused', reason: `It answered ${response.status}: ${text.slice(0, 200).trim()}` };
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return { outcome: 'refused', reason: cause instanceof Error ? cause.message : String(cause) };
  }
}

async function shortText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > LONGEST_ANSWER) throw new Error(`Its answer is longer than ${LONGEST_ANSWER} bytes.`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
