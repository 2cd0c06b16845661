/**
 * How long (ms) the end of what a cloud took is waited for while no look says that it runs: no documented restart, refresh or job takes
 * longer than an hour (contracts: huaweicloud B.1, C.3, D.1; vendors, "Pacing known").
 */
export const ENDS_WITHIN_MS = 2 * 3_600_000;

/** How long (ms) a look waits for its account's turn: less than a look may take. */
export const LOOK_TURN_MS = 15_000;
