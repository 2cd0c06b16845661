import { Failure, retryInfo } from "../core/errors.ts";

/** How many calls may be under way at once, on all connections together. */
export interface AdmissionLimits {
  /** Calls that are answered as soon as their work is done. */
  readonly maxCalls: number;
  /** Streams: they stay for long and cost little. */
  readonly maxStreams: number;
}

/** Counts the calls under way. */
export interface Admission {
  /**
   * Takes one more.
   *
   * @returns what is to be called when it is over.
   * @throws Failure QUEUE_FULL when there are as many as may be.
   */
  admit(kind: "call" | "stream"): () => void;
}

/** After so many milliseconds a call may find room. */
const RETRY_AFTER_MS = 1000;

/** Nothing is under way yet. */
export function createAdmission({ maxCalls, maxStreams }: AdmissionLimits): Admission {
  const limits = { call: maxCalls, stream: maxStreams };
  const underWay = { call: 0, stream: 0 };
  return {
    admit(kind) {
      if (underWay[kind] >= limits[kind]) {
        throw new Failure(
          "QUEUE_FULL",
          `${limits[kind]} ${kind}s are under way, and no more are taken: call again later`,
          {
            details: [retryInfo(RETRY_AFTER_MS)],
          },
        );
      }
      underWay[kind]++;
      return () => void underWay[kind]--;
    },
  };
}
