import { Command, Option } from 'commander';
import { type AlertType, alertTypes, type Severity, severities } from '../../compliance/alert.ts';
import { type QueueStrategy, queueStrategies } from '../../compliance/queue.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count, integer } from '../optionValues.ts';
import { count as counted, print, printTable } from '../output.ts';
import { answer } from '../session.ts';

const QUEUE = ['<queue>', 'name of the queue'] as const;
const PERSON = ['<who>', 'as in --as and --to'] as const;

export function queuesCommand(): Command {
  const queues = new Command('queues').description('where alerts wait, and who gets them');
  for (const make of [listQueues, setQueue, join, leave, distribute]) queues.addCommand(make());
  return queues;
}

function listQueues(): Command {
  const command = readCommand('list', 'list queues in the order in which they are asked').action(
    (options: DataOptions) =>
      answer(
        options,
        ({ compliance }) => compliance.queues.listQueues(),
        (queues) =>
          printTable(
            queues,
            [
              { title: 'QUEUE', value: ({ name }) => name },
              { title: 'ACTIVE', value: ({ isActive }) => yesOrNo(isActive) },
              { title: 'STRATEGY', value: ({ strategy }) => strategy },
              { title: 'PRIORITY', value: ({ priority }) => priority, align: 'right' },
              { title: 'MEMBERS', value: ({ members }) => members.join(', '), mayCut: true },
              { title: 'TYPES', value: (queue) => queue.alertTypes?.join(', ') ?? 'every', mayCut: true },
              { title: 'SEVERITIES', value: (queue) => queue.severities?.join(', ') ?? 'every', mayCut: true },
            ],
            'No queues.',
          ),
      ),
  );
  return withExample(command, 'alerts queues list');
}

interface QueueOptions extends ChangeOptions {
  readonly strategy?: QueueStrategy;
  readonly alertType?: AlertType[] | false;
  readonly severity?: Severity[] | false;
  readonly priority?: number;
  readonly active?: boolean;
}

function setQueue(): Command {
  const command = changeCommand('set', 'add a queue, or change it; what is not given stays')
    .argument(...QUEUE)
    .addOption(new Option('--strategy <strategy>', 'how it gives alerts out').choices(queueStrategies))
    .addOption(new Option('--alert-type <type...>', 'it takes these').choices(alertTypes))
    .option('--no-alert-type', 'it takes every type')
    .addOption(new Option('--severity <severity...>', 'it takes these').choices(severities))
    .option('--no-severity', 'it takes every severity')
    .option('--priority <number>', 'of several that take an alert the one with the least gets it', integer)
    .option('--active', 'it takes alerts and gives them out')
    .option('--no-active', 'it does neither')
    .action((name: string, options: QueueOptions) => {
      const { as: actor, strategy, alertType, severity, priority, active: isActive } = options;
      const queue = {
        name,
        strategy,
        alertTypes: alertType === false ? null : alertType,
        severities: severity === false ? null : severity,
        priority,
        isActive,
      };
      return tell(options, ({ compliance }) => compliance.queues.putQueue(queue, { actor }), `Queue ${name} is set.`);
    });
  return withExample(
    command,
    'alerts queues set screening --strategy least_loaded --alert-type aml_screening sanctions_check pep_screening',
    'alerts queues set screening --no-active',
  );
}

function join(): Command {
  const command = changeCommand('join', 'let somebody get alerts of a queue')
    .argument(...QUEUE)
    .argument(...PERSON)
    .action((queue: string, person: string, options: ChangeOptions) =>
      tell(
        options,
        ({ compliance }) => compliance.queues.addMember(queue, person, { actor: options.as }),
        `${person} gets alerts of ${queue}.`,
      ),
    );
  return withExample(command, 'alerts queues join screening maria');
}

function leave(): Command {
  const command = changeCommand('leave', 'take that back; what is assigned to them stays theirs')
    .argument(...QUEUE)
    .argument(...PERSON)
    .action((queue: string, person: string, options: ChangeOptions) =>
      tell(
        options,
        ({ compliance }) => compliance.queues.removeMember(queue, person, { actor: options.as }),
        `${person} gets no alerts of ${queue}.`,
      ),
    );
  return withExample(command, 'alerts queues leave screening maria');
}

function distribute(): Command {
  const command = changeCommand('distribute', 'give out now what waits; servers and workers do it every 30 s').action(
    ({ as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        async ({ compliance }) => ({ assigned: await compliance.queues.distribute({ actor }) }),
        ({ assigned }) => print(`${counted(assigned, 'alert', 'alerts')} given out.`),
      ),
  );
  return withExample(command, 'alerts queues distribute');
}

export function peopleCommand(): Command {
  const people = new Command('people').description('who works on alerts');
  for (const make of [listPeople, setPerson]) people.addCommand(make());
  return people;
}

function listPeople(): Command {
  const command = readCommand('list', 'list people with what they have to do').action((options: DataOptions) =>
    answer(
      options,
      ({ compliance }) => compliance.queues.listPeople(),
      (people) =>
        printTable(
          people,
          [
            { title: 'WHO', value: ({ id }) => id },
            { title: 'NAME', value: ({ name }) => name },
            { title: 'ACTIVE', value: ({ isActive }) => yesOrNo(isActive) },
            { title: 'ALERTS', value: ({ load }) => load, align: 'right' },
            { title: 'CAPACITY', value: ({ capacity }) => capacity ?? 'any', align: 'right' },
          ],
          'Nobody: alerts may be assigned to any name.',
        ),
    ),
  );
  return withExample(command, 'alerts people list');
}

interface PersonOptions extends ChangeOptions {
  readonly name?: string;
  readonly capacity?: number | false;
  readonly active?: boolean;
}

function setPerson(): Command {
  const command = changeCommand('set', 'add somebody who works on alerts, or change what is known of them')
    .argument(...PERSON)
    .option('--name <name>', 'for people')
    .option('--capacity <number>', 'how many undecided alerts are given to them at a time', count)
    .option('--no-capacity', 'any number')
    .option('--active', 'alerts may be assigned to them')
    .option('--no-active', 'alerts may not')
    .action((id: string, options: PersonOptions) => {
      const { as: actor, name, capacity, active: isActive } = options;
      const person = { id, name, capacity: capacity === false ? null : capacity, isActive };
      return tell(options, ({ compliance }) => compliance.queues.putPerson(person, { actor }), `${id} is set.`);
    });
  return withExample(
    command,
    'alerts people set maria --name Maria --capacity 20',
    'alerts people set otto --no-active',
  );
}

/** For people a sentence; a program learns by the exit code that it is done. */
function tell(
  options: ChangeOptions,
  work: (moonguard: Parameters<Parameters<typeof answer>[1]>[0]) => Promise<unknown>,
  sentence: string,
): Promise<void> {
  return answer(
    options,
    async (moonguard) => {
      await work(moonguard);
      return { done: sentence };
    },
    ({ done }) => print(done),
  );
}

function yesOrNo(is: boolean): string {
  return is ? 'yes' : 'no';
}
