/** How long things may take, in milliseconds; each has a default. */
export interface Timing {
  /** A permit to send is good for so long. Default 5,000. */
  readonly sendWindowMs: number;
  /** A replica that was silent for so long counts as dead. Default 15,000. */
  readonly leaseMs: number;
  /** Every replica says so often that it lives, and looks for what nobody works on. Default 2,000. */
  readonly beatMs: number;
  /** After a send it is first looked at after so long. Default 500. */
  readonly firstLookMs: number;
  /** Replaces every action's own settle time. Default: none. */
  readonly settleMs: number | undefined;
  /** Replaces every action's own bound on the wait for an end. Default: none. */
  readonly endsWithinMs: number | undefined;
  /** Ended operations are kept so long; then their tombstones alone. Default 30 days. */
  readonly retentionMs: number;
}
