import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    globalSetup: 'test/support/globalSetup.ts',
    // Some hundred processes of ours are started: half the time of each went into stripping and compiling the same files.
    env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('./node_modules/.cache/compiled', import.meta.url)) },
    pool: 'forks',
    // Much of a test is waiting for timers and sockets: on two cores two files at a time.
    maxWorkers: '100%',
    // A database is opened in hooks; two busy cores take their time.
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
