/** Every command on one alert takes it like this. */
export const ALERT = ['<alert>', 'alert_id or id'] as const;

/** For examples. */
export const SOME_ALERT = 'alert_0199f2c4a1b27d3e8c5f6a7b8c9d0e1f';
