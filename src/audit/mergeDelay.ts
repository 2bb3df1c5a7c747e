/** The promise to whoever logs: in the tree and signed within this time after the commit. Past it, there is an alarm. */
export const MAXIMUM_MERGE_DELAY_MS = 5_000;
