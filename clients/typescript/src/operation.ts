import { create } from "@bufbuild/protobuf";
import { DurationSchema } from "@bufbuild/protobuf/wkt";
import { type Client, Code, ConnectError } from "@connectrpc/connect";
import type { Operation, Operations } from "./gen/google/longrunning/operations_pb.js";
import type { OperationService } from "./gen/restart/operation/v1/operation_service_pb.js";

/** How to wait. */
export interface WaitOptions {
  /** Ends the waiting, with its reason; the operation goes on. */
  readonly signal?: AbortSignal;
}

/** Seconds that one question waits for an end: shorter than what proxies cut off. */
const WAIT_SECONDS = 50n;

/** A server that is away is asked again after so long (ms), at first and at most. */
const AGAIN_MS = { first: 500, most: 10_000 };

/** A request_id for one intention: send the same one again when an answer was lost, and nothing happens twice. */
export const newRequestId = (): string => crypto.randomUUID();

/**
 * Waits for the end of an operation, through as many questions as it takes and across a server's restart.
 *
 * @param name of the response header `operation-name`.
 * @returns the operation as it ended: with `response` or `error`.
 */
export async function waitForOperation(
  client: Client<typeof Operations>,
  name: string,
  { signal }: WaitOptions = {},
): Promise<Operation> {
  const timeout = create(DurationSchema, { seconds: WAIT_SECONDS });
  for (const wait = backoff(signal); ; ) {
    try {
      const operation = await client.waitOperation({ name, timeout }, options(signal));
      if (operation.done) return operation;
      wait.reset();
    } catch (error) {
      await wait.afterFailure(error);
    }
  }
}

/**
 * The same as a stream of everything that changes on the way; the last one is the end. A stream that breaks off is asked for again.
 */
export async function* watchUntilDone(
  client: Client<typeof OperationService>,
  name: string,
  { signal }: WaitOptions = {},
): AsyncGenerator<Operation> {
  for (const wait = backoff(signal); ; ) {
    try {
      for await (const operation of client.watchOperation({ name }, options(signal))) {
        wait.reset();
        yield operation;
        if (operation.done) return;
      }
    } catch (error) {
      await wait.afterFailure(error);
    }
  }
}

const options = (signal: AbortSignal | undefined) => (signal === undefined ? {} : { signal });

function backoff(signal: AbortSignal | undefined) {
  let next = AGAIN_MS.first;
  return {
    reset(): void {
      next = AGAIN_MS.first;
    },
    /** Rethrows what does not pass by itself. */
    async afterFailure(error: unknown): Promise<void> {
      signal?.throwIfAborted();
      const { code } = ConnectError.from(error);
      if (code !== Code.Unavailable && code !== Code.DeadlineExceeded) throw error;
      await pause(next, signal);
      next = Math.min(next * 2, AGAIN_MS.most);
    },
  };
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal?.addEventListener("abort", stop, { once: true });
  });
}
