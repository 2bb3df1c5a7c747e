import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Certificate, createAuthority, createCertificate } from '../support/certificates.ts';
import { resolveName } from './names.ts';
import { conformance, newPurchase } from './product.ts';
import { startReceiver } from './receiver.ts';

const trustedBefore = getCACertificates('default');
let authority: Certificate;

beforeAll(async () => {
  authority = await createAuthority('Trusted');
  setDefaultCACertificates([...trustedBefore, authority.cert]);
});
afterAll(() => setDefaultCACertificates(trustedBefore));

conformance('what an endpoint may choose', (product) => {
  test('a filter: events that do not match are not sent, do not count and are listed as filtered', async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url, { filter: 'event.data.baseCurrencyAmount > 100' });

    const small = await product.post(newPurchase({ baseCurrencyAmount: 99.99 }));
    const large = await product.post(newPurchase({ baseCurrencyAmount: 100.01 }));

    expect(await endpoint.settled(small)).toMatchObject({ status: 'filtered', attemptsCount: 0, attempts: [] });
    expect(await endpoint.settled(large)).toMatchObject({ status: 'delivered', attemptsCount: 1 });
    expect(receiver.arrivals.map(({ eventId }) => eventId)).toEqual([large]);
    expect(await endpoint.read()).toMatchObject({ deliveryAttemptsCount: 1, consecutiveFailuresCount: 0 });
  });

  test('a filter that cannot be evaluated on an event lets it through', async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url, { filter: 'event.data.noSuchField == 1' });

    expect(await endpoint.settled(await product.post())).toMatchObject({ status: 'delivered' });
    expect(receiver.arrivals).toHaveLength(1);
  });

  test('a filtered event that somebody asks for is sent', async () => {
    const receiver = await startReceiver();
    const endpoint = await product.endpoint(receiver.url, { filter: 'event.data.baseCurrencyAmount > 100' });
    const eventId = await product.post(newPurchase({ baseCurrencyAmount: 1 }));
    const { id } = await endpoint.settled(eventId);

    await product.webhooks.retryDelivery(id);

    expect(await endpoint.after(eventId, 'delivery.delivered')).toMatchObject({ status: 'delivered' });
    expect(receiver.arrivals).toHaveLength(1);
  });

  test('a client certificate: a receiver that asks for one gets it, and no other endpoint shows it', async () => {
    resolveName('hook.example', ['127.0.0.1']);
    const shown: string[] = [];
    const receiver = await startReceiver(
      (response) => {
        const { socket } = response;
        if (socket instanceof TLSSocket) shown.push(String(socket.getPeerCertificate().subject.CN));
        response.end();
      },
      { ...(await createCertificate('hook.example', { authority })), requestCert: true, ca: authority.cert },
    );
    const url = `https://hook.example:${receiver.port}`;
    const known = await product.endpoint(`${url}/known`);
    const { cert, key } = await createCertificate('moonguard', { authority });
    await product.webhooks.setClientCertificate(known.id, { certificate: cert, privateKey: key });
    const unknown = await product.endpoint(`${url}/unknown`);

    const eventId = await product.post();

    expect(await known.settled(eventId)).toMatchObject({ status: 'delivered', attemptsCount: 1 });
    expect(await unknown.settled(eventId)).toMatchObject({ status: 'exhausted', lastResponseStatus: null });
    expect(shown).toEqual(['moonguard']);
  });
});
