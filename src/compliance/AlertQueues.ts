import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { MoonguardError } from '../errors.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import {
  type AlertPerson,
  type AlertQueue,
  memberSchema,
  type PersonInput,
  personSchema,
  type QueueInput,
  queueSchema,
} from './queue.ts';
import { addQueueMember } from './store/addQueueMember.ts';
import { distributeAlerts } from './store/distributeAlerts.ts';
import { listPeople } from './store/listPeople.ts';
import { listQueues } from './store/listQueues.ts';
import { putPerson } from './store/putPerson.ts';
import { putQueue } from './store/putQueue.ts';
import { removeQueueMember } from './store/removeQueueMember.ts';

/** As many as one transaction should hold. */
const MOST_AT_ONCE = 1_000;

/** Who works on alerts, and the queues that give alerts to people. Nobody and no queue is removed: make it inactive. */
export class AlertQueues {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /**
   * Adds somebody, or changes what is given of them. From the first active person on, alerts can be assigned to active
   * people only.
   * @throws MoonguardError queue_invalid
   */
  async putPerson(input: PersonInput, options: WriteOptions = {}): Promise<void> {
    const person = parseInput(personSchema, input, 'queue_invalid');
    await this.#write(options, (transaction) => putPerson(transaction, person));
  }

  async listPeople({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertPerson[]> {
    return listPeople(transaction);
  }

  /**
   * Adds a queue, or changes what is given of it; undecided alerts that are in no queue go into it when it takes them.
   * @throws MoonguardError queue_invalid
   */
  async putQueue(input: QueueInput, options: WriteOptions = {}): Promise<void> {
    const queue = parseInput(queueSchema, input, 'queue_invalid');
    await this.#write(options, (transaction) => putQueue(transaction, queue));
  }

  /** In the order in which they are asked whether they take an alert. */
  async listQueues({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertQueue[]> {
    return listQueues(transaction);
  }

  /**
   * Lets somebody get alerts of a queue.
   * @throws MoonguardError queue_not_found, alert_assignee_unknown, queue_invalid
   */
  async addMember(queueName: string, personId: string, options: WriteOptions = {}): Promise<void> {
    const { queue, person } = parseInput(memberSchema, { queue: queueName, person: personId }, 'queue_invalid');
    await this.#write(options, (transaction) => addQueueMember(transaction, queue, person));
  }

  /**
   * Takes that back; what is assigned to them stays theirs. Returns whether they were a member.
   * @throws MoonguardError queue_invalid
   */
  async removeMember(queueName: string, personId: string, options: WriteOptions = {}): Promise<boolean> {
    const { queue, person } = parseInput(memberSchema, { queue: queueName, person: personId }, 'queue_invalid');
    return this.#write(options, (transaction) => removeQueueMember(transaction, queue, person));
  }

  /** Does at once what the schedule does every 30 seconds: gives out up to 1,000 alerts. Returns how many it were. */
  async distribute(options: WriteOptions = {}): Promise<number> {
    return this.#write(options, (transaction) => distributeAlerts(transaction, MOST_AT_ONCE));
  }

  async #write<T>(options: WriteOptions, work: (transaction: Db) => Promise<T>): Promise<T> {
    const { transaction: within, actor = SYSTEM_ACTOR } = options;
    const write = (transaction: Db): Promise<T> => asActor(transaction, actor, () => work(transaction));
    try {
      // The caller's transaction survives a refusal.
      return within === undefined
        ? await this.#database.transaction(write)
        : await inSavepoint(within, () => write(within));
    } catch (error) {
      throw queueWriteError(error);
    }
  }
}

/** The error that stands for what the database refused; the error itself where it is about something else. */
function queueWriteError(error: unknown): unknown {
  switch (databaseErrorReport(error).constraint) {
    case 'alert_queue_members_queue_fkey':
      return new MoonguardError('queue_not_found', 'There is no queue of this name.', { cause: error });
    case 'alert_queue_members_person_fkey':
      return new MoonguardError('alert_assignee_unknown', 'There is nobody of this id who works on alerts.', {
        cause: error,
      });
    case undefined:
    default:
      return error;
  }
}
