import { Code, ConnectError, createClient, type Client as RpcClient } from "@connectrpc/connect";
import type { Operation } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { RestartMetadata_State as State } from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import type { Subject } from "../core/command.ts";
import type { Client, ClientContext } from "./client.ts";
import { isBusy } from "./exit.ts";
import type { Step } from "./progress.ts";
import { metadataOf } from "./render.ts";
import { whileHeard } from "./while-heard.ts";

/** What following needs. */
export interface Following {
  readonly client: Client;
  readonly sleep: ClientContext["sleep"];
  /** Ends it before the operation has ended. */
  readonly signal: AbortSignal;
  /** Streams that may be open beside those of operations. */
  readonly spare: Slots;
  step(step: Step): void;
}

/** A number of streams, shared by all who follow. */
export interface Slots {
  /** Takes one, where there is one. */
  take(): boolean;
  /** Gives one back, or one more. */
  add(): void;
}

/** @param free how many there are at first. */
export function createSlots(free: number): Slots {
  return {
    take: () => free > 0 && free-- > 0,
    add: () => {
      free++;
    },
  };
}

/** First and longest wait (ms) before a stream that was cut is asked for again. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 5_000;

/** What is shown while nobody knows whether it happened. */
const IN_DOUBT = "no proof yet that it happened; it is being looked for and not sent again";

/**
 * Follows an operation to its end: what became of it the operation alone tells. Where more of a rollout is to be seen, that is shown
 * meanwhile. A server that ends, or a connection that breaks, before that is asked again.
 *
 * @throws ConnectError when the server will not tell; the signal's reason when that is aborted.
 */
export async function followOperation(name: string, subject: Subject, following: Following): Promise<Operation> {
  const { client, sleep } = following;
  const operations: RpcClient<typeof OperationService> = createClient(OperationService, client.transport);
  // A stream that is not read to its end would keep its connection, and this process.
  const end = new AbortController();
  using _ = { [Symbol.dispose]: () => end.abort() };
  const signal = AbortSignal.any([following.signal, end.signal]);
  const rollout = followRollout(subject, { ...following, signal });
  for (let retries = 0; ; retries++) {
    try {
      const open = (heard: AbortSignal) => operations.watchOperation({ name }, { signal: heard });
      for await (const operation of whileHeard(open, signal)) {
        retries = 0;
        if (operation.done) return operation;
        const metadata = metadataOf(operation);
        if (metadata?.state === State.UNKNOWN) following.step({ text: `${subject.label}: ${IN_DOUBT}` });
        else if (!rollout.begin(metadata?.vendorJob ?? "")) following.step({ text: metadata?.progress ?? "" });
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!isCut(error)) throw error;
    }
    await sleep(Math.min(RETRY_MS * 2 ** Math.min(retries, 8), MAX_RETRY_MS), signal);
  }
}

/** Codes of a stream that was cut, or of a server that is ending or not there: not what it says of an operation. */
const CUT: ReadonlySet<Code> = new Set([
  Code.Unavailable,
  Code.Aborted,
  Code.Canceled,
  Code.Internal,
  Code.Unknown,
  Code.ResourceExhausted, // a reset of HTTP/2
]);

/** Whether an error is about the connection or the server, so that another try may do better. */
export function isCut(thrown: unknown): boolean {
  const error = ConnectError.from(thrown);
  const [info] = error.findDetails(ErrorInfoSchema);
  return info === undefined ? CUT.has(error.code) : error.code === Code.Unavailable || isBusy(info.reason);
}

/** A rollout that is watched beside its operation. */
interface Beside {
  /** Begins, once. Answers whether the rollout is what is shown. */
  begin(restartedAt: string): boolean;
}

function followRollout(subject: Subject, { step, signal, spare }: Following): Beside {
  let begun = false;
  const { rollout: stepsOf } = subject;
  let failed = stepsOf === undefined;
  const watch = async (restartedAt: string): Promise<void> => {
    if (stepsOf === undefined) return;
    for await (const rollout of whileHeard((heard) => stepsOf(restartedAt, { signal: heard }), signal)) {
      if (signal.aborted) return;
      const { message: text, done, of, complete } = rollout;
      step({ text, done, of, ...(!complete && { detail: rollout.detail }) });
    }
  };
  return {
    begin(restartedAt) {
      if (!begun && !failed && restartedAt !== "" && spare.take()) {
        begun = true;
        watch(restartedAt)
          .catch(() => {
            failed = true; // what the operation says is shown instead, and how it ended it says in any case
          })
          .finally(spare.add);
      }
      return begun && !failed;
    },
  };
}
