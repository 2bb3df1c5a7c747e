import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier, text } from '../input/fields.ts';
import type { Page } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import type { Environment } from '../observe/observation.ts';
import type { IncomingWebhook, Receiver } from '../receive/Receiver.ts';
import type { RejectionCounts } from '../receive/Rejections.ts';
import type { StoredEvent } from '../receive/store/storeEvents.ts';
import type { Runtime } from '../runtime.ts';
import type { ClientCertificateInput, ClientCertificateSummary } from './clientCertificate.ts';
import type { ClientCertificates } from './clientCertificates.ts';
import { asEndpointError } from './constraintErrors.ts';
import type { Delivery, DeliveryStatus, DeliveryWithAttempts } from './delivery.ts';
import { deliveryStatistics } from './deliveryStatistics.ts';
import { type EndpointChange, isStopped, type WebhookEndpoint } from './endpoint.ts';
import { idOf } from './endpointId.ts';
import {
  type CreateWebhookInput,
  parseEndpointChanges,
  parseNewEndpoint,
  type WebhookChanges,
} from './endpointInput.ts';
import type { EndpointSecrets, RotatedSecret } from './endpointSecrets.ts';
import {
  type DeliveryFilter,
  deliveryFilterSchema,
  type EndpointChangePage,
  endpointChangePageSchema,
  overlapSecondsSchema,
  pageById,
  type UndeliveredFilter,
  undeliveredFilterSchema,
  type WebhookFilter,
  webhookFilterSchema,
} from './listFilters.ts';
import { conflict, known, stopped, unknownDelivery, unknownReplay, unknownWebhook } from './refusals.ts';
import { type Replay, type ReplayPage, type ReplayRequest, replayPageSchema, replayRequestSchema } from './replay.ts';
import { type DeliveryStatistics, type StatisticsWindow, statisticsWindowSchema } from './statistics.ts';
import { beginReplay } from './store/beginReplay.ts';
import { cancelReplay } from './store/cancelReplay.ts';
import { countDeliveryAttempt } from './store/countDeliveryAttempt.ts';
import { deleteEndpoint } from './store/deleteEndpoint.ts';
import { findDelivery } from './store/findDelivery.ts';
import { findEndpoint, lockEndpoint } from './store/findEndpoint.ts';
import { findReplay } from './store/findReplay.ts';
import { insertEndpoint } from './store/insertEndpoint.ts';
import { insertTestEvent } from './store/insertTestEvent.ts';
import { listAttempts } from './store/listAttempts.ts';
import { listDeliveries } from './store/listDeliveries.ts';
import { listEndpointChanges } from './store/listEndpointChanges.ts';
import { listEndpoints } from './store/listEndpoints.ts';
import { listReplays } from './store/listReplays.ts';
import { retryDelivery } from './store/retryDelivery.ts';
import { setEndpointStatus } from './store/setEndpointStatus.ts';
import { updateEndpoint } from './store/updateEndpoint.ts';
import { type WebhookStats, webhookStats } from './store/webhookStats.ts';
import { testEventBody } from './testEvent.ts';

export interface WebhookHandlerDependencies {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'now' | 'newId'>;
  readonly endpointSecrets: EndpointSecrets;
  readonly clientCertificates: ClientCertificates;
  readonly receiver: Pick<Receiver, 'receive' | 'handle' | 'rejections'>;
  /** Lets sandbox endpoints be on this machine. */
  readonly allowLoopbackDestinations: boolean;
}

/**
 * The endpoints that events are delivered to, and their deliveries. A `webhookId` is the id or the webhook_id of an
 * endpoint; methods that take one throw MoonguardError webhook_not_found when no endpoint has it, or it was deleted.
 */
export class WebhookHandler {
  readonly #database: Database;
  readonly #runtime: Pick<Runtime, 'now' | 'newId'>;
  readonly #secrets: EndpointSecrets;
  readonly #certificates: ClientCertificates;
  readonly #receiver: Pick<Receiver, 'receive' | 'handle' | 'rejections'>;
  readonly #allowLoopback: boolean;

  constructor(dependencies: WebhookHandlerDependencies) {
    this.#database = dependencies.database;
    this.#runtime = dependencies.runtime;
    this.#secrets = dependencies.endpointSecrets;
    this.#certificates = dependencies.clientCertificates;
    this.#receiver = dependencies.receiver;
    this.#allowLoopback = dependencies.allowLoopbackDestinations;
  }

  /**
   * Creates an endpoint, active at once. Its `secret`, which deliveries are signed with, is not to be seen again.
   * @throws MoonguardError webhook_invalid with every problem; webhook_duplicate when a live endpoint of the environment
   *   has this URL
   */
  async createWebhook(
    input: CreateWebhookInput,
    options: WriteOptions = {},
  ): Promise<WebhookEndpoint & { readonly secret: string }> {
    const { secret: given, ...endpoint } = parseNewEndpoint(input, { allowLoopback: this.#allowLoopback });
    return this.#writeAs(options, async (transaction) => {
      const created = await insertEndpoint(transaction, endpoint);
      return { ...created, secret: await this.#secrets.create(transaction, created.id, given) };
    });
  }

  async getWebhook(webhookId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<WebhookEndpoint> {
    return known(await findEndpoint(transaction, webhookId), webhookId);
  }

  /** The newest first. @throws MoonguardError request_invalid */
  async listWebhooks(
    filter: WebhookFilter = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<WebhookEndpoint>> {
    const { limit, ...wanted } = parseInput(webhookFilterSchema, filter, 'request_invalid');
    return pageById(await listEndpoints(transaction, wanted, limit + 1), limit);
  }

  /** @throws MoonguardError webhook_invalid with every problem; webhook_duplicate */
  updateWebhook(webhookId: string, changes: WebhookChanges, options: WriteOptions = {}): Promise<WebhookEndpoint> {
    return this.#writeAs(options, async (transaction) => {
      const endpoint = known(await lockEndpoint(transaction, webhookId), webhookId);
      const rules = { environment: endpoint.environment, allowLoopback: this.#allowLoopback };
      return updateEndpoint(transaction, endpoint, parseEndpointChanges(changes, rules));
    });
  }

  /** Its deliveries keep their history; those that were still to be made are held for good. */
  async deleteWebhook(webhookId: string, options: WriteOptions = {}): Promise<void> {
    await this.#writeAs(options, async (transaction) => {
      known(await deleteEndpoint(transaction, webhookId), webhookId);
    });
  }

  /**
   * Replaces the secret. During the overlap deliveries carry both signatures, so that receivers can change over.
   * @throws MoonguardError request_invalid
   */
  async rotateSecret(
    webhookId: string,
    rotation: { readonly overlapSeconds?: number | undefined } = {},
    options: WriteOptions = {},
  ): Promise<RotatedSecret> {
    const { overlapSeconds } = parseInput(overlapSecondsSchema, rotation, 'request_invalid');
    return this.#writeAs(options, async (transaction) => {
      const { id } = known(await lockEndpoint(transaction, webhookId), webhookId);
      return this.#secrets.rotate(transaction, id, overlapSeconds);
    });
  }

  /** Switches the endpoint off (status inactive) for a reason of yours: its deliveries are held. */
  async suspendWebhook(webhookId: string, reason?: string, options: WriteOptions = {}): Promise<WebhookEndpoint> {
    const given = parseInput(z.object({ reason: text.optional() }), { reason }, 'webhook_invalid');
    return this.#writeAs(options, async (transaction) =>
      known(await setEndpointStatus(transaction, webhookId, 'inactive', given.reason ?? null), webhookId),
    );
  }

  /** Makes the endpoint active, whatever stopped it. What was held stays held until `replayDeliveries` or `retryDelivery`. */
  resumeWebhook(webhookId: string, options: WriteOptions = {}): Promise<WebhookEndpoint> {
    return this.#writeAs(options, async (transaction) =>
      known(await setEndpointStatus(transaction, webhookId, 'active', null), webhookId),
    );
  }

  /** Every change of it, of its status and its secret too; the newest first. @throws MoonguardError request_invalid */
  async listChanges(
    webhookId: string,
    page: EndpointChangePage = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<EndpointChange>> {
    const { limit, cursor } = parseInput(endpointChangePageSchema, page, 'request_invalid');
    const endpointId = await idOf(transaction, webhookId);
    return pageById(await listEndpointChanges(transaction, endpointId, cursor, limit + 1), limit);
  }

  /**
   * What deliveries to the endpoint show to a receiver that asks for a client certificate (mTLS); null: nothing. The key
   * is stored encrypted and not to be seen again.
   * @throws MoonguardError webhook_invalid when one of the two cannot be used, or they do not belong together
   */
  setClientCertificate(
    webhookId: string,
    certificate: ClientCertificateInput | null,
    options: WriteOptions = {},
  ): Promise<ClientCertificateSummary | null> {
    return this.#writeAs(options, async (transaction) => {
      const { id } = known(await lockEndpoint(transaction, webhookId), webhookId);
      return this.#certificates.set(transaction, id, certificate);
    });
  }

  /** Null when the endpoint has none. */
  async getClientCertificate(
    webhookId: string,
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<ClientCertificateSummary | null> {
    return this.#certificates.describe(transaction, await idOf(transaction, webhookId));
  }

  /**
   * Sends the event `webhook.test` to this endpoint alone, whatever it subscribes to.
   * @returns id of the delivery
   * @throws MoonguardError webhook_status_conflict when the endpoint is inactive or failed
   */
  sendTestEvent(webhookId: string, options: WriteOptions = {}): Promise<string> {
    return this.#write(options, async (transaction) => {
      const endpoint = known(await lockEndpoint(transaction, webhookId), webhookId);
      if (isStopped(endpoint.status)) throw stopped(`The endpoint is ${endpoint.status}`);
      const id = this.#runtime.newId();
      const deliveryId = this.#runtime.newId();
      const body = testEventBody(id, endpoint.webhookId, new Date(this.#runtime.now()));
      await insertTestEvent(transaction, endpoint, { id, deliveryId, body });
      return deliveryId;
    });
  }

  /**
   * Counts an attempt of a host that delivers by itself, as our own deliveries are counted.
   * @param errorMessage why it failed; its first 1000 characters are kept
   */
  async trackDeliveryAttempt(
    webhookId: string,
    success: boolean,
    errorMessage?: string,
    options: WriteOptions = {},
  ): Promise<void> {
    const failure = success ? undefined : (errorMessage ?? 'unknown').replaceAll('\0', ' ').slice(0, 1000);
    await this.#write(options, async (transaction) => {
      if (!(await countDeliveryAttempt(transaction, webhookId, failure))) throw unknownWebhook(webhookId);
    });
  }

  /** The newest first. @throws MoonguardError request_invalid */
  async listDeliveries(filter: DeliveryFilter = {}, options: ReadOptions = {}): Promise<Page<Delivery>> {
    const { status, ...wanted } = parseInput(deliveryFilterSchema, filter, 'request_invalid');
    return this.#listDeliveries(wanted, status && [status], options);
  }

  /** Deliveries that are exhausted or held, the newest first. @throws MoonguardError request_invalid */
  async listUndelivered(filter: UndeliveredFilter = {}, options: ReadOptions = {}): Promise<Page<Delivery>> {
    const wanted = parseInput(undeliveredFilterSchema, filter, 'request_invalid');
    return this.#listDeliveries(wanted, ['exhausted', 'held'], options);
  }

  /** @throws MoonguardError delivery_not_found */
  async getDelivery(
    deliveryId: string,
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<DeliveryWithAttempts> {
    const delivery = isUuid(deliveryId) ? await findDelivery(transaction, deliveryId) : undefined;
    if (delivery === undefined) throw unknownDelivery(deliveryId);
    return { ...delivery, attempts: await listAttempts(transaction, deliveryId) };
  }

  /**
   * Sends a delivery once more, now and outside its schedule: when that fails, status and schedule are as they were. One
   * that was held goes on with its schedule instead.
   * @throws MoonguardError delivery_not_found; webhook_status_conflict when a worker has it at this moment, its endpoint is
   *   inactive, failed or deleted, or retention has removed its body
   */
  async retryDelivery(deliveryId: string, options: WriteOptions = {}): Promise<void> {
    const outcome = isUuid(deliveryId)
      ? await this.#write(options, (transaction) => retryDelivery(transaction, deliveryId))
      : undefined;
    switch (outcome) {
      case 'retried':
        return;
      case 'in_flight':
        throw conflict('The delivery is being sent at this moment.');
      case 'stopped':
        throw stopped('The endpoint of this delivery is inactive, failed or deleted');
      case 'body_removed':
        throw conflict('The body of its event was removed: nothing is left to send.');
      case undefined:
        throw unknownDelivery(deliveryId);
    }
  }

  /**
   * Sends many deliveries again, as a job in the database that running servers carry out: of one endpoint or all, by what
   * became of them, event and time. Held ones go on with their schedule; the others are sent once more, and stay what they
   * were when that fails. What is pending, and what is made from now on, is never part of it.
   * @throws MoonguardError request_invalid; webhook_status_conflict when the endpoint is inactive or failed
   */
  replayDeliveries(request: ReplayRequest = {}, options: WriteOptions = {}): Promise<Replay> {
    const { webhookId, ...wanted } = parseInput(replayRequestSchema, request, 'request_invalid');
    const { actor } = parseInput(writerSchema, { actor: options.actor }, 'request_invalid');
    return this.#write(options, async (transaction) => {
      const endpoint =
        webhookId === undefined ? undefined : known(await findEndpoint(transaction, webhookId), webhookId);
      if (endpoint !== undefined && isStopped(endpoint.status)) throw stopped(`The endpoint is ${endpoint.status}`);
      const id = this.#runtime.newId();
      await beginReplay(transaction, { ...wanted, id, endpointId: endpoint?.id }, actor);
      return this.getReplay(id, { transaction });
    });
  }

  /** How far a replay is. @throws MoonguardError replay_not_found */
  async getReplay(replayId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<Replay> {
    const replay = isUuid(replayId) ? await findReplay(transaction, replayId) : undefined;
    if (replay === undefined) throw unknownReplay(replayId);
    return replay;
  }

  /** The newest first. @throws MoonguardError request_invalid */
  async listReplays(
    page: ReplayPage = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<Replay>> {
    const { limit, cursor } = parseInput(replayPageSchema, page, 'request_invalid');
    return pageById(await listReplays(transaction, cursor, limit + 1), limit);
  }

  /**
   * Ends a replay at once: nothing is released any more, and what no worker has begun with is what it was before.
   * @throws MoonguardError replay_not_found; replay_finished when it has ended already
   */
  cancelReplay(replayId: string, options: WriteOptions = {}): Promise<Replay> {
    const { actor } = parseInput(writerSchema, { actor: options.actor }, 'request_invalid');
    return this.#write(options, async (transaction) => {
      const status = isUuid(replayId) ? await cancelReplay(transaction, replayId, actor) : undefined;
      if (status === undefined) throw unknownReplay(replayId);
      if (status !== 'running') throw new MoonguardError('replay_finished', `The replay is ${status}.`);
      return this.getReplay(replayId, { transaction });
    });
  }

  /** How delivering went, by when attempts began and deliveries were made. @throws MoonguardError request_invalid */
  async getStatistics(
    window: StatisticsWindow = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<DeliveryStatistics> {
    const { webhookId, ...wanted } = parseInput(statisticsWindowSchema, window, 'request_invalid');
    const endpointId = await idOf(transaction, webhookId);
    return deliveryStatistics(transaction, { ...wanted, endpointId }, this.#runtime.now());
  }

  /** What the SQL function get_moonpay_webhook_stats() says. */
  async getStats({ transaction = this.#database.db }: ReadOptions = {}): Promise<WebhookStats> {
    return webhookStats(transaction);
  }

  /** Receives a webhook of MoonPay for a host with an HTTP server of its own; see {@link Receiver.receive}. */
  receive(webhook: IncomingWebhook): Promise<StoredEvent> {
    return this.#receiver.receive(webhook);
  }

  /** The same for a web-standard Request: mount it where MoonPay posts to. It never rejects. */
  handle(request: Request, environment: Environment): Promise<Response> {
    return this.#receiver.handle(request, environment);
  }

  /** How many of MoonPay's webhooks this process has refused, by environment and reason. */
  get rejections(): RejectionCounts {
    return this.#receiver.rejections;
  }

  async #listDeliveries(
    { webhookId, limit, ...wanted }: z.output<typeof undeliveredFilterSchema>,
    statuses: readonly DeliveryStatus[] | undefined,
    { transaction = this.#database.db }: ReadOptions,
  ): Promise<Page<Delivery>> {
    const filter = { ...wanted, statuses, endpointId: await idOf(transaction, webhookId) };
    return pageById(await listDeliveries(transaction, filter, limit + 1), limit);
  }

  async #write<T>({ transaction }: WriteOptions, work: (transaction: Db) => Promise<T>): Promise<T> {
    try {
      return await this.#database.transaction(work, transaction);
    } catch (error) {
      throw asEndpointError(error);
    }
  }

  /** The same, for what the database notes who did it. */
  async #writeAs<T>(options: WriteOptions, work: (transaction: Db) => Promise<T>): Promise<T> {
    const { actor } = parseInput(writerSchema, { actor: options.actor }, 'webhook_invalid');
    return this.#write(options, (transaction) => asActor(transaction, actor, () => work(transaction)));
  }
}

const writerSchema = z.object({ actor: identifier.default(SYSTEM_ACTOR) });

const isUuid = (id: string): boolean => z.guid().safeParse(id).success;
