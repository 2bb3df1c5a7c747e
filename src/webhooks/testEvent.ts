/** The body of a `webhook.test` event, in the form of MoonPay's own. */
export function testEventBody(eventId: string, webhookId: string, now: Date): string {
  return JSON.stringify({ type: 'webhook.test', data: { id: eventId, webhookId, createdAt: now.toISOString() } });
}
