import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    globalSetup: 'test/support/globalSetup.ts',
    pool: 'forks',
    // Much of a test is waiting for timers and sockets: on two cores two files at a time.
    maxWorkers: '100%',
    // Real sockets, databases and processes on two busy cores: what fails once and then passes is reported as retried.
    retry: 1,
    // A database is opened in hooks; two busy cores take their time.
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
