/** Every command on one policy takes it like this. */
export const POLICY = ['<policy>', 'id of the policy'] as const;

/** For examples. */
export const SOME_POLICY = 'card_velocity';
