import { QuotaFailureSchema } from "../../gen/google/rpc/error_details_pb.ts";
import type { RateSettings, ShareSettings } from "../config/limits.ts";
import { Failure, retryInfo } from "../core/errors.ts";

/** What each caller may ask for: token buckets in memory, for a limit in the store would be a write for each read. */
export interface Shares {
  /**
   * Takes one call of a caller's share.
   *
   * @throws Failure RATE_LIMITED
   */
  takeCall(principal: string): void;
  /** Takes one call that changes something. As {@link takeCall}. */
  takeMutation(principal: string): void;
  /**
   * Takes a stream, until what it returns is called.
   *
   * @throws Failure RATE_LIMITED
   */
  takeStream(principal: string): () => void;
}

/** After so many milliseconds a stream of the caller's may have ended. */
const STREAM_RETRY_MS = 1_000;

/** So many buckets are kept; then those that are full again go, for a new one is full too. */
const MAX_BUCKETS = 10_000;

/** @param monotonic a clock in ms that never goes back. */
export function createShares({ calls, mutations, streams }: ShareSettings, monotonic: () => number): Shares {
  const takeCall = createBuckets(calls, "calls", monotonic);
  const takeMutation = createBuckets(mutations, "calls that change something", monotonic);
  const open = new Map<string, number>();
  return {
    takeCall,
    takeMutation,
    takeStream(principal) {
      const before = open.get(principal) ?? 0;
      if (streams !== undefined && before >= streams) {
        throw limited(principal, `${principal} has ${streams} streams open already`, STREAM_RETRY_MS);
      }
      open.set(principal, before + 1);
      return () => {
        const others = (open.get(principal) ?? 1) - 1;
        if (others === 0) open.delete(principal);
        else open.set(principal, others);
      };
    },
  };
}

interface Bucket {
  left: number;
  at: number;
}

function createBuckets(
  settings: RateSettings | undefined,
  what: string,
  monotonic: () => number,
): (principal: string) => void {
  if (settings === undefined) return () => {};
  const { rate, burst } = settings;
  const buckets = new Map<string, Bucket>();
  const filled = ({ left, at }: Bucket, now: number): number => Math.min(burst, left + ((now - at) / 1000) * rate);
  return (principal) => {
    const now = monotonic();
    if (buckets.size >= MAX_BUCKETS) {
      for (const [name, bucket] of buckets) if (filled(bucket, now) >= burst) buckets.delete(name);
    }
    const bucket = buckets.get(principal) ?? { left: burst, at: now };
    const left = filled(bucket, now);
    if (left < 1) {
      throw limited(
        principal,
        `${principal} has made too many ${what}: ${rate} per second are its share`,
        ((1 - left) / rate) * 1000,
      );
    }
    buckets.set(principal, { left: left - 1, at: now });
  };
}

const limited = (principal: string, message: string, delayMs: number): Failure =>
  new Failure("RATE_LIMITED", message, {
    metadata: { principal },
    details: [
      { desc: QuotaFailureSchema, value: { violations: [{ subject: principal, description: message }] } },
      retryInfo(Math.ceil(delayMs)),
    ],
  });
