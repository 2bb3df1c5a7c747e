/** Every command on one endpoint takes it like this. */
export const ENDPOINT = ['<endpoint>', 'webhook_id or id'] as const;

/** For examples. */
export const SOME_ENDPOINT = 'wh_0199f2c4a1b27d3e8c5f6a7b8c9d0e1f';
