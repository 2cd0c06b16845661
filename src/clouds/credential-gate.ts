import { createHash } from "node:crypto";
import { Failure } from "../core/errors.ts";
import { perAccount } from "./per-account.ts";

/** Who asks, for the sentence about a refusal that is remembered. */
export interface GateCaller {
  /** Such as `site gis` or `project 7d2a6d4f`: begins the sentence. */
  readonly place: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Keeps what a system has refused of our own credentials from being shown to it again and again: vendors lock an account after five
 * refusals in a row, its other users with it. A refusal is remembered until the secret's text changes, or a pause has passed that grows.
 * While it is not known whether a secret is taken, one request at a time shows it.
 */
export interface CredentialGate {
  /**
   * Asks to show a secret.
   *
   * @throws Failure VENDOR_CREDENTIALS_REJECTED from memory; or the signal's reason.
   */
  enter(secret: string, caller: GateCaller, signal: AbortSignal): Promise<GatePass>;
}

/** The right to show a secret in one request. The first of its functions that is called counts. */
export interface GatePass {
  /** It was taken. */
  accepted(): void;
  /** It was refused for sure. */
  refused(failure: Failure): void;
  /** Nothing is known of it. */
  leave(): void;
}

/** How long (ms) a secret is not shown again after its first refusal, its second, and each further one. */
const PAUSES_MS = [60_000, 300_000, 900_000] as const;

/** What a refused secret is remembered by. */
interface Refusal {
  /** Digest of the secret. */
  readonly key: string;
  readonly failure: Failure;
  /** The sentence without the place of whoever was told first. */
  readonly why: string;
  readonly count: number;
  /** By the clock that never goes back, in ms. */
  readonly at: number;
  readonly until: number;
}

/** Knows nothing yet. */
export function createCredentialGate(monotonic: () => number): CredentialGate {
  let taken: string | undefined;
  let refusal: Refusal | undefined;
  let probe: Promise<void> | undefined;

  const remember = (key: string, failure: Failure, { place }: GateCaller): void => {
    const at = monotonic();
    const before = refusal?.key === key ? refusal : undefined;
    // What was under way with it is refused as well, and says no more.
    if (before !== undefined && at < before.until) return;
    const count = (before?.count ?? 0) + 1;
    const pauseMs = PAUSES_MS[Math.min(count, PAUSES_MS.length) - 1] ?? 0;
    const why = failure.message.startsWith(`${place}: `) ? failure.message.slice(place.length + 2) : failure.message;
    refusal = { key, failure, why, count, at, until: at + pauseMs };
  };

  const passFor = (key: string, caller: GateCaller, release: () => void, isProbe: boolean): GatePass => {
    let isOver = false;
    const end = (conclude: () => void) => (): void => {
      if (isOver) return;
      isOver = true;
      conclude();
      release();
    };
    return {
      accepted: end(() => {
        // One that was under way when another was refused proves nothing any more.
        if (!isProbe && refusal?.key === key) return;
        taken = key;
        if (refusal?.key === key) refusal = undefined;
      }),
      refused: (failure) =>
        end(() => {
          if (taken === key) taken = undefined;
          remember(key, failure, caller);
        })(),
      leave: end(() => {}),
    };
  };

  return {
    async enter(secret, caller, signal) {
      const key = createHash("sha256").update(secret).digest("hex");
      for (;;) {
        signal.throwIfAborted();
        if (taken === key) return passFor(key, caller, () => {}, false);
        if (refusal?.key === key && (probe !== undefined || monotonic() < refusal.until)) {
          throw remembered(refusal, caller, monotonic());
        }
        if (probe === undefined) break;
        await unlessAborted(probe, signal);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      probe = promise;
      const release = (): void => {
        probe = undefined;
        resolve();
      };
      return passFor(key, caller, release, true);
    },
  };
}

function remembered({ failure, why, at, until }: Refusal, { place, metadata }: GateCaller, now: number): Failure {
  const seconds = (ms: number): number => Math.max(1, Math.round(ms / 1_000));
  const when = `that was ${seconds(now - at)} s ago, and the same is not tried again for ${seconds(until - now)} s`;
  return new Failure(failure.reason, `${place}: ${why}; ${when}`, {
    metadata: { ...failure.metadata, ...metadata },
    cause: failure,
  });
}

/** The gate of one account, by what names it without its secret. */
export const credentialGate = perAccount(createCredentialGate);

/** What work gives, unless the signal comes first. */
export async function unlessAborted<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
