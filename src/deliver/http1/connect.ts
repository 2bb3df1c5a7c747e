import { isIP, type LookupFunction, connect as netConnect, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';

/** What a URL's origin stands for. */
export interface Server {
  readonly origin: string;
  readonly isSecure: boolean;
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What the sender shows to a receiver that asks for it (mTLS). The same id always stands for the same certificate. */
export interface ClientCertificate {
  readonly id: string;
  /** PEM: the certificate, then those that signed it. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

export interface ConnectRules {
  readonly lookup: LookupFunction;
  readonly verifySsl: boolean;
  readonly clientCertificate?: ClientCertificate | undefined;
}

/** Begins to connect; what is received goes to `onread`, past the machinery of streams. */
export type Connect = (onread: OnReadOpts, onConnect: () => void) => Socket;

export function connectTo(
  { isSecure, host, port }: Server,
  { lookup, verifySsl, clientCertificate }: ConnectRules,
): Connect {
  if (!isSecure) return (onread, onConnect) => netConnect({ host, port, lookup, noDelay: true, onread }, onConnect);

  const options = {
    host,
    port,
    lookup,
    // An address is no server name: RFC 6066, section 3.
    ...(isIP(host) === 0 && { servername: host }),
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: verifySsl,
    ...(clientCertificate && { cert: clientCertificate.cert, key: clientCertificate.key }),
  };
  /** Of the last connection: another one takes it up again and spares both sides most of the handshake. */
  let session: Buffer | undefined;
  return (onread, onConnect) => {
    const all: ConnectionOptions & { onread: OnReadOpts } = { ...options, session, onread };
    const socket = tlsConnect(all, onConnect).setNoDelay(true);
    socket.on('session', (established) => {
      session = established;
    });
    socket.once('error', () => {
      session = undefined;
    });
    return socket;
  };
}
