import { Agent } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { postDirectly, unsignedHeaders } from './postDirectly.ts';
import { checkReceived, startReceiver } from './receiver.ts';
import type { Behaviour } from './receiverProcess.ts';

async function start(behaviour?: Behaviour) {
  const receiver = await startReceiver(behaviour === undefined ? undefined : [behaviour]);
  const agent = new Agent({ connections: 1 });
  onTestFinished(async () => {
    await agent.destroy();
    await receiver.close();
  });
  const post = async (id: string): Promise<number> => {
    const { status } = await postDirectly(agent, new URL(receiver.url), unsignedHeaders(id), Buffer.from('{}'));
    return status;
  };
  return { receiver, post };
}

test('what was received once is right, and is taken once', async () => {
  const { receiver, post } = await start();
  await post('evt_1');
  await post('evt_2');

  const received = await receiver.takeReceived();
  expect([...received.arrivals.keys()]).toEqual(['evt_1', 'evt_2']);
  expect(() => checkReceived(received, 2)).not.toThrow();
  expect(await receiver.takeReceived()).toMatchObject({ requests: 0, arrivals: new Map() });
});

test('a delivery that is missing, or came twice, fails the round', async () => {
  const { receiver, post } = await start();
  for (const id of ['evt_1', 'evt_1', 'evt_2']) await post(id);

  const received = await receiver.takeReceived();
  expect(() => checkReceived(received, 3)).toThrow('got 3 requests with 2 webhook-ids, and refused 0, instead of 3');
  expect(() => checkReceived(received, 2)).toThrow('instead of 2');
});

test('a failing endpoint refuses some the first time, and each round the same', async () => {
  const { receiver, post } = await start({ kind: 'failing', everyNth: 2 });

  for (let round = 0; round < 2; round++) {
    const statuses = [await post('evt_1'), await post('evt_2'), await post('evt_2'), await post('evt_3')];
    expect(statuses).toEqual([200, 500, 200, 200]);
    const received = await receiver.takeReceived();
    expect(received).toMatchObject({ requests: 4, refused: 1 });
    expect(() => checkReceived(received, 3)).not.toThrow();
  }
});

test('a broken endpoint refuses always', async () => {
  const { post } = await start({ kind: 'broken' });

  expect([await post('evt_1'), await post('evt_1')]).toEqual([500, 500]);
});

test('a slow endpoint lets some wait', async () => {
  const { post } = await start({ kind: 'slow', afterMs: 100, everyNth: 2 });
  await post('evt_1');

  const startedAt = performance.now();
  await post('evt_2');
  expect(performance.now() - startedAt).toBeGreaterThan(95);
});
