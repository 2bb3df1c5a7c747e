/** When an endpoint that fails is left alone, and when it is given up. */
export interface BreakerSettings {
  /** Failed requests in a row after which it is suspended. */
  readonly failures: number;
  /** While suspended it gets one request in this time; the first that succeeds makes it active again. */
  readonly probeMs: number;
  /** Suspended for longer than this, it is failed at the next probe that fails, and its deliveries are held. */
  readonly disableAfterMs: number;
}

/** Five days of trying, as Standard Webhooks suggests. */
export const defaultBreaker: BreakerSettings = {
  failures: 20,
  probeMs: 30_000,
  disableAfterMs: 5 * 24 * 60 * 60 * 1000,
};
