import { Code, ConnectError, createClient, type Client as RpcClient } from "@connectrpc/connect";
import type { Operation } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { RestartMetadata_State as State } from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import type { Subject } from "../core/command.ts";
import type { Client, ClientContext } from "./client.ts";
import type { Step } from "./progress.ts";
import { metadataOf } from "./render.ts";

/** What following needs. */
export interface Following {
  readonly client: Client;
  readonly sleep: ClientContext["sleep"];
  /** Ends it before the operation has ended. */
  readonly signal: AbortSignal;
  step(step: Step): void;
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
  const { client, signal, sleep } = following;
  const operations: RpcClient<typeof OperationService> = createClient(OperationService, client.transport);
  using rollout = followRollout(subject, following);
  for (let retries = 0; ; retries++) {
    try {
      for await (const operation of operations.watchOperation({ name }, { signal })) {
        retries = 0;
        if (operation.done) return operation;
        const metadata = metadataOf(operation);
        if (metadata?.state === State.UNKNOWN) following.step({ text: IN_DOUBT });
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
const CUT: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Internal, Code.Unknown]);

/** Whether an error is about the connection or the server, so that another try may do better. */
export function isCut(thrown: unknown): boolean {
  const error = ConnectError.from(thrown);
  return error.findDetails(ErrorInfoSchema).length > 0 ? error.code === Code.Unavailable : CUT.has(error.code);
}

/** A rollout that is watched beside its operation. */
interface Beside extends Disposable {
  /** Begins, once. Answers whether the rollout is what is shown. */
  begin(restartedAt: string): boolean;
}

function followRollout(subject: Subject, { step, signal }: Following): Beside {
  const end = new AbortController();
  let begun = false;
  let failed = subject.rollout === undefined;
  const watch = async (restartedAt: string): Promise<void> => {
    const both = AbortSignal.any([signal, end.signal]);
    for await (const rollout of subject.rollout?.(restartedAt, { signal: both }) ?? []) {
      if (end.signal.aborted) return;
      const { message: text, done, of, complete } = rollout;
      step({ text, done, of, ...(!complete && { detail: rollout.detail }) });
    }
  };
  return {
    begin(restartedAt) {
      if (!begun && !failed && restartedAt !== "") {
        begun = true;
        watch(restartedAt).catch(() => {
          failed = true; // what the operation says is shown instead, and how it ended it says in any case
        });
      }
      return begun && !failed;
    },
    [Symbol.dispose]: () => end.abort(),
  };
}
