import { systemRuntime } from '../../src/runtime.ts';
import type { ProviderEvent } from '../../src/simulate/providerEvent.ts';
import { playScenario } from '../../src/simulate/scenario.ts';
import type { Member } from './cluster.ts';
import { createEventStream, type EventStream } from './eventStream.ts';

export interface Load {
  readonly stream: EventStream;
  /** Ends it, and says how many events there were. */
  readonly end: () => Promise<number>;
}

/** Sends purchases, one after the other, to these by turns. */
export function startLoad(members: readonly Pick<Member, 'url'>[]): Load {
  const told = { events: 0, isOver: false };
  function* tell(): Generator<ProviderEvent> {
    while (!told.isOver) {
      const events = playScenario('buy', systemRuntime);
      told.events += events.length;
      yield* events;
    }
  }
  const stream = createEventStream(tell());
  const sent = stream.run(members.map(({ url }) => url));
  return {
    stream,
    end: async () => {
      told.isOver = true;
      await sent;
      return told.events;
    },
  };
}

/** Resolves when so many events more are acknowledged. */
export function further(stream: EventStream, acknowledged: number): Promise<void> {
  const goal = stream.acknowledged.size + acknowledged;
  return stream.until(
    () => stream.acknowledged.size >= goal,
    () => `${stream.acknowledged.size} of ${goal} events are acknowledged`,
  );
}

/** Resolves when so many events more are turned down. */
export function furtherTurnedDown(stream: EventStream, count: number): Promise<void> {
  const goal = stream.turnedDown.length + count;
  return stream.until(
    () => stream.turnedDown.length >= goal,
    () => `${stream.turnedDown.length} of ${goal} answers are 5xx`,
  );
}
