import { onTestFinished } from 'vitest';
import { connectDatabase } from '../../src/database/connect.ts';
import type { PostgresOptions } from '../../src/database/postgres.ts';
import { startServer } from '../../src/http/server.ts';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { webhookKey } from './eventStream.ts';
import { masterKey } from './installation.ts';
import { createWatch, type Watch } from './watch.ts';

/** The whole of Moonguard, as `moonguard start` runs it, in the test's process: what it reports can be waited for. */
export interface Member {
  readonly url: string;
  readonly moonguard: Moonguard;
  readonly observations: readonly Observation[];
  /** Looks at every observation, also of those it shares its watch with. */
  readonly until: Watch['until'];
}

export interface MemberOptions extends PostgresOptions {
  readonly leaseMs?: number;
}

/** Ends with the test. */
export async function startMember(
  { leaseMs = 15_000, ...options }: MemberOptions,
  { changed, until }: Watch = createWatch(),
): Promise<Member> {
  const observations: Observation[] = [];
  const observe = (observation: Observation): void => {
    observations.push(observation);
    changed();
  };
  const database = await connectDatabase(options, { observe });
  const moonguard = await createMoonguard({
    database,
    masterKey,
    webhookKeys: { sandbox: [webhookKey] },
    allowLoopbackDestinations: true,
    leaseMs,
    observe,
  });
  const server = await startServer(moonguard, { host: '127.0.0.1', port: 0, observe });
  await moonguard.start();
  onTestFinished(async () => {
    await server.close();
    await moonguard.stop();
    await database.close();
  });
  return { url: server.url, moonguard, observations, until };
}

/** How often a member has reported this. */
export function reported({ observations }: Member, type: Observation['type']): number {
  return observations.filter((observation) => observation.type === type).length;
}

/** Resolves when it has reported this `count` times, all in all. */
export function untilReported(member: Member, type: Observation['type'], count = 1): Promise<void> {
  return member.until(
    () => reported(member, type) >= count,
    () => `${type}: ${reported(member, type)} of ${count}`,
  );
}
