import type { Socket } from 'node:net';

/** What a receiver can do to whoever sends to it: given to tcpServer. */

/** Writes `head`, then a byte a second for ever. */
export function trickle(head: string): (socket: Socket) => void {
  return (socket) => {
    socket.write(head);
    const drops = setInterval(() => socket.write('.'), 1_000);
    socket.once('close', () => clearInterval(drops));
  };
}

const mebibyte = Buffer.alloc(1024 * 1024, 'x');

/** Writes `head`, then `piece` over and over as fast as it is taken; reports at the end how many bytes were. */
export function pour(head: string, onClosed: (bytes: number) => void, piece: Uint8Array = mebibyte) {
  return (socket: Socket): void => {
    const pourOn = () => {
      while (!socket.destroyed && socket.write(piece));
    };
    socket.on('drain', pourOn);
    socket.once('close', () => onClosed(socket.bytesWritten));
    socket.write(head);
    pourOn();
  };
}

/** Writes a part of a response, then resets the connection. */
export function resetAfter(part: string): (socket: Socket) => void {
  return (socket) => void socket.write(part, () => socket.resetAndDestroy());
}
