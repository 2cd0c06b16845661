/**
 * What an API server's clock shows. Times that others compare with stamps of the cluster are made by it, and stamps of the cluster are
 * compared with it, never with our own clock: nothing holds the clocks of two machines together.
 */
export interface ServerClock {
  /**
   * Learns from an answer's Date, which is cut to whole seconds.
   *
   * @param sent when its request left.
   */
  learn(date: string | undefined, sent: Moment): void;
  /** Our own clocks, now. */
  moment(): Moment;
  /** The latest time (epoch ms) that it can show now. Before it has learned anything: what our own clock shows. */
  latest(): number;
}

/** What our own clocks show at one moment. */
export interface Moment {
  /** A clock in milliseconds that never goes back. */
  readonly monotonic: number;
  /** The wall clock, as epoch ms. */
  readonly wall: number;
}

/** What a clock is made with. */
export interface ServerClockOptions {
  /** What logs call it. */
  readonly cluster: string;
  /** A clock in milliseconds that never goes back. */
  readonly monotonic: () => number;
  /** The wall clock. */
  readonly now: () => Date;
  /** Logs what deserves an operator's look. */
  readonly warn: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** How far (ms) two clocks may surely be apart before an operator is told. */
const TOLD_FROM_MS = 5_000;

/** A Date is cut to whole seconds. */
const CUT_MS = 1_000;

/** Makes a {@link ServerClock} that has learned nothing. */
export function createServerClock({ cluster, monotonic, now, warn }: ServerClockOptions): ServerClock {
  let learned: { readonly date: number; readonly sent: Moment } | undefined;
  let warned = false;

  const moment = (): Moment => ({ monotonic: monotonic(), wall: now().getTime() });
  const compare = (date: number, sent: Moment): void => {
    // The answer was dated between its request's leaving and now.
    const behind = date - now().getTime();
    const ahead = sent.wall - (date + CUT_MS);
    const skewMs = Math.max(behind, ahead);
    if (skewMs > TOLD_FROM_MS && !warned) {
      const direction = behind > 0 ? "behind" : "ahead of";
      const seconds = Math.round(skewMs / 1_000);
      warn(`our clock is ${seconds} s ${direction} the API server's: one of the two machines needs its time set`, {
        cluster,
        skew_seconds: behind > 0 ? -seconds : seconds,
      });
    }
    warned = skewMs > TOLD_FROM_MS;
  };
  return {
    learn(header, sent) {
      const date = Date.parse(header ?? "");
      if (Number.isNaN(date)) {
        return; // something on the way took it out
      }
      learned = { date, sent };
      compare(date, sent);
    },
    moment,
    latest: () =>
      learned === undefined ? now().getTime() : learned.date + CUT_MS + (monotonic() - learned.sent.monotonic),
  };
}
