import { providerKeySecret } from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { bodyOf, type ProviderEvent } from '../../src/simulate/providerEvent.ts';
import { type Answer, sendEvent } from '../../src/simulate/sendEvent.ts';
import { createWatch, type Watch } from './watch.ts';

export const webhookKey = 'wk_test_0123456789abcdef';

/** Connections that events are sent over at a time. */
const CONNECTIONS = 8;

/** MoonPay as a sender that never gives up: an event without an answer, or answered with 5xx, is sent again. */
export interface EventStream {
  /** Acknowledged events with the id that the server gave. */
  readonly acknowledged: ReadonlyMap<ProviderEvent, string>;
  /** Answers with 5xx, in the order they came. */
  readonly turnedDown: readonly Answer[];
  /** What the slowest answer took, whatever it was. */
  readonly slowestAnswerMs: number;
  /** Sends to these servers by turns until nothing is left to send, or `isOver`. */
  readonly run: (serverUrls: readonly string[], isOver?: () => boolean) => Promise<void>;
  /** Looks at every answer. */
  readonly until: Watch['until'];
}

/** @param onAcknowledged called for each event */
export function createEventStream(events: Iterable<ProviderEvent>, onAcknowledged = (): void => {}): EventStream {
  const fresh = events[Symbol.iterator]();
  const again: ProviderEvent[] = [];
  const acknowledged = new Map<ProviderEvent, string>();
  const turnedDown: Answer[] = [];
  let slowestAnswerMs = 0;
  const { changed, until } = createWatch();

  const next = (): ProviderEvent | undefined => {
    const unanswered = again.shift();
    if (unanswered !== undefined) return unanswered;
    const { value, done } = fresh.next();
    return done === true ? undefined : value;
  };
  const { key } = providerKeySecret('test', webhookKey);
  const send = async (event: ProviderEvent, serverUrl: string): Promise<void> => {
    const target = { serverUrl, environment: 'sandbox', key, runtime: systemRuntime } as const;
    const answer = await sendEvent(event, target).catch(() => undefined);
    if (answer === undefined) {
      again.push(event);
      return;
    }
    slowestAnswerMs = Math.max(slowestAnswerMs, answer.durationMs);
    if (answer.status >= 500) {
      turnedDown.push(answer);
      again.push(event);
    } else if (answer.eventId === null) {
      throw new Error(`the server refused an event: ${answer.status} ${answer.error}`);
    } else {
      acknowledged.set(event, answer.eventId);
      onAcknowledged();
    }
    changed();
  };

  return {
    acknowledged,
    turnedDown,
    get slowestAnswerMs() {
      return slowestAnswerMs;
    },
    run: async (serverUrls, isOver = () => false) => {
      const sendAll = async (serverUrl: string): Promise<void> => {
        while (!isOver()) {
          const event = next();
          if (event === undefined) return;
          await send(event, serverUrl);
        }
      };
      await Promise.all(
        Array.from({ length: CONNECTIONS }, (_, i) => sendAll(serverUrls[i % serverUrls.length] ?? '')),
      );
    },
    until,
  };
}

/** The bytes of each acknowledged event, by the `webhook-id` of its deliveries. */
export function acknowledgedBodies({ acknowledged }: EventStream): Map<string, Buffer> {
  return new Map(Array.from(acknowledged, ([event, id]) => [`evt_${id}`, bodyOf(event)]));
}
