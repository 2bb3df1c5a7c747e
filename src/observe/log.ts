import { type DestinationStream, type Logger, pino } from 'pino';
import { limitRefusals } from './limitRefusals.ts';
import type { Observation, Observe } from './observation.ts';

type Level = 'error' | 'warn' | 'info' | 'debug';

/** How loud each observation is. What somebody should act on is at least a warning; what happens all the time is debug. */
const levels: Readonly<Record<Observation['type'], Level>> = {
  'event.received': 'debug',
  'event.duplicate': 'debug',
  'event.refused': 'warn',
  'event.late': 'info',
  'event.projection_failed': 'error',
  'event.decided': 'debug',
  'event.decide_failed': 'error',
  'event.set_aside': 'error',
  'decide.failed': 'error',
  'delivery.claimed': 'debug',
  'delivery.delivered': 'debug',
  'delivery.failed': 'info',
  'delivery.exhausted': 'warn',
  'delivery.filtered': 'debug',
  'delivery.filter_failed': 'error',
  'delivery.resend_failed': 'info',
  'delivery.held': 'warn',
  'endpoint.not_ready': 'error',
  'endpoint.status_changed': 'warn',
  'delivery.lease_lost': 'warn',
  'delivery.not_attempted': 'error',
  'delivery.claim_failed': 'error',
  'delivery.settled': 'debug',
  'delivery.settle_failed': 'error',
  'replay.released': 'debug',
  'replay.completed': 'info',
  'replay.release_failed': 'error',
  'backtest.progressed': 'debug',
  'backtest.completed': 'info',
  'backtest.failed': 'error',
  'backtest.interrupted': 'error',
  'database.listen_lost': 'warn',
  'database.listen_restored': 'info',
  'request.failed': 'error',
  'retention.ran': 'info',
  'job.ran': 'debug',
  'job.failed': 'error',
  'job.lease_lost': 'warn',
  'jobs.claim_failed': 'error',
  'audit.sequenced': 'debug',
  'audit.delayed': 'warn',
  'audit.sequence_failed': 'error',
  'audit.witnessed': 'debug',
  'audit.witness_failed': 'warn',
  'audit.published': 'debug',
  'audit.publish_failed': 'warn',
  'audit.key_missing': 'info',
  'log_key.generated': 'info',
  'worker.ended': 'error',
  'master_key.generated': 'warn',
};

/** JSON lines on standard error, or where `destination` says. */
export function createLogger(level: Level | 'silent', destination: DestinationStream = pino.destination(2)): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

/** One line an observation; but of refused webhooks, which anybody can send, no more than {@link limitRefusals} lets by. */
export function logObservations(logger: Logger): Observe {
  return limitRefusals((observation) => {
    const { type, ...details } = observation;
    logger[levelOf(observation)](details, type);
  });
}

export function levelOf(observation: Observation): Level {
  // Two different bodies under one key: a repetition by MoonPay has the same.
  if (observation.type === 'event.duplicate' && observation.bodyDiffers) return 'warn';
  if (observation.type === 'retention.ran' && isIdle(observation)) return 'debug';
  return levels[observation.type];
}

function isIdle({ events, attempts, bodies }: Extract<Observation, { type: 'retention.ran' }>): boolean {
  return events + attempts + bodies === 0;
}
