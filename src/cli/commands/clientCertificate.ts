import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { inputError } from '../../input/parseInput.ts';
import type { ClientCertificateInput } from '../../webhooks/clientCertificate.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { ENDPOINT, SOME_ENDPOINT } from '../endpointArgument.ts';
import { print, printFields } from '../output.ts';
import { answer } from '../session.ts';

export function clientCertificateCommand(): Command {
  const command = new Command('certificate').description(
    'what an endpoint is shown when it asks for a certificate (mTLS)',
  );
  for (const make of [set, show, remove]) command.addCommand(make());
  return command;
}

function set(): Command {
  const command = changeCommand('set', 'show this certificate from now on; its key is stored encrypted')
    .argument(...ENDPOINT)
    .requiredOption('--certificate <file>', 'in PEM: the certificate, then those that signed it')
    .requiredOption('--private-key <file>', 'in PEM, not encrypted')
    .action((webhookId: string, options: ChangeOptions & ClientCertificateInput) => {
      const certificate = textOf('certificate', options.certificate);
      const privateKey = textOf('privateKey', options.privateKey);
      return answer(
        options,
        ({ webhooks }) => webhooks.setClientCertificate(webhookId, { certificate, privateKey }, { actor: options.as }),
        (summary) => printFields(summary ?? {}),
      );
    });
  return withExample(
    command,
    `webhooks certificate set ${SOME_ENDPOINT} --certificate moonguard.crt --private-key moonguard.key`,
  );
}

function show(): Command {
  const command = readCommand('show', 'show whom the certificate is made out to, and until when it is valid')
    .argument(...ENDPOINT)
    .action((webhookId: string, options: DataOptions) =>
      answer(
        options,
        ({ webhooks }) => webhooks.getClientCertificate(webhookId),
        (summary) => (summary === null ? print('No certificate.') : printFields(summary)),
      ),
    );
  return withExample(command, `webhooks certificate show ${SOME_ENDPOINT}`);
}

function remove(): Command {
  const command = changeCommand('remove', 'show no certificate any more')
    .argument(...ENDPOINT)
    .action((webhookId: string, options: ChangeOptions) =>
      answer(
        options,
        ({ webhooks }) => webhooks.setClientCertificate(webhookId, null, { actor: options.as }),
        () => print('Removed.'),
      ),
    );
  return withExample(command, `webhooks certificate remove ${SOME_ENDPOINT}`);
}

function textOf(field: keyof ClientCertificateInput, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    const message = `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw inputError('request_invalid', [{ code: 'file_unreadable', field, message }], cause);
  }
}
