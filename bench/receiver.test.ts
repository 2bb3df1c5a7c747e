import { Agent } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { postDirectly, unsignedHeaders } from './postDirectly.ts';
import { checkReceived, startReceiver } from './receiver.ts';

async function receive(...webhookIds: string[]) {
  const receiver = await startReceiver();
  const agent = new Agent({ connections: 1 });
  onTestFinished(async () => {
    await agent.close();
    await receiver.close();
  });
  for (const id of webhookIds) await postDirectly(agent, new URL(receiver.url), unsignedHeaders(id), Buffer.from('{}'));
  return receiver;
}

test('what was received once is right, and is taken once', async () => {
  const receiver = await receive('evt_1', 'evt_2');

  const received = await receiver.takeReceived();
  expect([...received.arrivals.keys()]).toEqual(['evt_1', 'evt_2']);
  expect(() => checkReceived(received, 2)).not.toThrow();
  expect(await receiver.takeReceived()).toMatchObject({ requests: 0, arrivals: new Map() });
});

test('a delivery that is missing, or came twice, fails the round', async () => {
  const receiver = await receive('evt_1', 'evt_1', 'evt_2');

  const received = await receiver.takeReceived();
  expect(() => checkReceived(received, 3)).toThrow('got 3 requests with 2 webhook-ids instead of 3');
  expect(() => checkReceived(received, 2)).toThrow('instead of 2');
});
