import type { Socket } from 'node:net';

let waiting: { readonly socket: Socket; readonly bytes: Buffer }[] = [];

/**
 * Writes once what runs now has ended, together with all that is given meanwhile. A receiver sleeps until bytes come;
 * waking it is most of what a write costs, and while it is busy with the first of many it need not be woken for the next.
 */
export function writeTogether(socket: Socket, bytes: Buffer): void {
  if (waiting.push({ socket, bytes }) === 1) process.nextTick(writeAll);
}

function writeAll(): void {
  const ready = waiting;
  waiting = [];
  // One that was closed meanwhile has told whoever waits for it.
  for (const { socket, bytes } of ready) if (!socket.destroyed) socket.write(bytes);
}
