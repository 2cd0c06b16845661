import { Code } from "@connectrpc/connect";
import { Failure } from "../core/errors.ts";

/** Bounds (ms) the look after a request whose outcome is unknown. */
const READ_BACK_MS = 5_000;

/**
 * One bounded look at what became of a request that may have been applied.
 *
 * @param error what sending it threw.
 * @throws the error when it does not leave the outcome open; and when the look fails, the same failure with both causes.
 */
export async function readBack<Seen>(error: unknown, look: (signal: AbortSignal) => Promise<Seen>): Promise<Seen> {
  if (!(error instanceof Failure) || error.outcome !== "unknown") {
    throw error;
  }
  return look(AbortSignal.timeout(READ_BACK_MS)).catch((second: unknown) => {
    throw new Failure(error.reason, error.message, {
      outcome: "unknown",
      deadlineExceeded: error.code === Code.DeadlineExceeded,
      metadata: error.metadata,
      details: error.details,
      cause: new AggregateError([error.cause, second], "neither the answer nor the read after it came"),
    });
  });
}
