/**
 * How many random walks a test of a state machine takes, and how long it may take for them: TEST_WALKS=1000 takes more
 * than there is time for in each run (npm run test:walks).
 */
export const WALKS = Number(process.env['TEST_WALKS'] ?? 25);
export const WALKS_WITHIN_MS = 60_000 + WALKS * 3_000;
