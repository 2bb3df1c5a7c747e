import type { BenchArguments } from '../arguments.ts';
import type { Bench, Variant } from '../rounds.ts';
import { checkpoints } from './checkpoints.ts';
import { inserts } from './inserts.ts';
import { proofs } from './proofs.ts';
import { sequencing } from './sequencing.ts';

/** Clients, and which part of N they insert in a round: alone, each insert waits for the disk. */
const crowds = { 1: 1 / 8, 8: 1 / 2, 32: 1 } as const;
/** While a sequencer works, inserts reach this share of their rate at least. */
const LEAST_SHARE = 0.8;

/** Inserts into the policy log, and what the audit log does by itself. */
export function auditBench({ n }: Pick<BenchArguments, 'n'>): Bench {
  return {
    unit: 'rows/s',
    limit: 'insert-32',
    variants: [...([1, 8, 32] as const).flatMap(ofCrowd), sequencing, checkpoints, proofs(n)],
    least: { sequencer: 10_000 },
    bound: { checkpoint: 1_000, proof: 5 },
    leastShare: {
      'insert-1-sequenced': { of: 'insert-1', share: LEAST_SHARE },
      'insert-8-sequenced': { of: 'insert-8', share: LEAST_SHARE },
      'insert-32-sequenced': { of: 'insert-32', share: LEAST_SHARE },
    },
  };
}

function ofCrowd(clients: keyof typeof crowds): Variant[] {
  const part = crowds[clients];
  return [
    inserts(`insert-${clients}-sequenced`, { clients, part, log: 'sequenced' }),
    inserts(`insert-${clients}`, { clients, part, log: 'queued' }),
    inserts(`insert-${clients}-plain`, { clients, part, log: 'plain' }),
  ];
}
