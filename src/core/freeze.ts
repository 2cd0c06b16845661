import type { Matches } from "./target-pattern.ts";

/** The permission to go on although a freeze is in the way. Calls that say so need it beside their own. */
export const OVERRIDE_FREEZE = "freezes.override";

/** What keeps everybody from restarting some targets for a while. */
interface Freeze {
  readonly name: string;
  /** Patterns of resource names. */
  readonly targets: readonly string[];
  /** What those are told whom it keeps from restarting; may be empty. */
  readonly message: string;
}

/** A freeze that somebody has made by a call. */
export interface SwitchedFreeze extends Freeze {
  /** When it ends by itself, in epoch ms. */
  readonly until: number;
  readonly reason: string;
  /** Who made it. */
  readonly principal: string;
  /** Epoch ms. */
  readonly createTime: number;
}

/** A freeze of the configuration. */
export interface CalendarFreeze extends Freeze {
  readonly matches: Matches;
  /** When it ends, in epoch ms; undefined: it comes back every week. */
  readonly until: number | undefined;
  /** When it ends, in words: a time, or what clocks on the wall show then. */
  readonly end: string;
  /** Whether it is in force at a time. */
  readonly inForce: (now: Date) => boolean;
}

/** The freezes of the configuration. */
export type Calendar = readonly CalendarFreeze[];

/** The freezes that callers have made, as they were at a moment. */
export interface Freezes {
  /** Grows by one with every change of them. */
  readonly epoch: number;
  readonly switched: readonly SwitchedFreeze[];
}

/** One change of the freezes, and what the audit trail says of it: `identity` is of identity.ts. */
export type FreezeChange =
  | { readonly kind: "create"; readonly freeze: SwitchedFreeze; readonly identity?: string | undefined }
  | {
      readonly kind: "lift";
      readonly name: string;
      readonly principal: string;
      readonly reason: string;
      readonly identity?: string | undefined;
    };

/** Where freezes are kept, for whoever serves calls about them. */
export interface FreezeRegistry {
  readonly calendar: Calendar;
  /**
   * Those that have not run out.
   *
   * @throws Failure STORE_UNAVAILABLE
   */
  read(): Promise<Freezes>;
  /**
   * Changes them, durably: from then on no request leaves that the freezes forbid and that had no permit before.
   *
   * @returns false when they are no longer those of `epoch`: nothing was changed.
   * @throws Failure STORE_UNAVAILABLE
   */
  change(epoch: number, change: FreezeChange): Promise<boolean>;
  /**
   * Whether some freeze is in force now, on each of some targets.
   *
   * @throws Failure STORE_UNAVAILABLE
   */
  onEach(targets: readonly string[]): Promise<readonly boolean[]>;
}
