import { create, type DescMessage, type DescMethodUnary, type JsonObject, type MessageShape } from "@bufbuild/protobuf";
import { EmptySchema as Empty, type EmptySchema } from "@bufbuild/protobuf/wkt";
import { type RestartRequestSchema, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { Failure } from "../../src/core/errors.ts";
import type { Action, Observation, OperationView, PrepareContext } from "../../src/core/operation.ts";

/** What the vendor does with one request. */
export type Script =
  /** Executes and answers; the job ends well after a while. */
  | "ok"
  /** The same, and nothing is left to observe. */
  | "done"
  /** Executes and answers without what the caller is answered with: that only shows later. */
  | "no response"
  /** Executes and answers; the job ends badly. */
  | "job fails"
  /** Executes and answers; nothing ever shows the job's end, nor that it runs. */
  | "end unseen"
  /** Refuses: nothing is applied. */
  | "refused"
  /** Refuses a first request, for sure, and takes a second one. */
  | "refused once"
  /** The request is lost: nobody knows. */
  | "dropped"
  /** Executes, and the answer is lost: nobody knows. */
  | "reset"
  /** Executes, and answers with a server's error: nobody knows. */
  | "5xx"
  /** Executes, answers late. */
  | "slow"
  /** Executes, and never answers. */
  | "silent"
  /** Never answers, having done nothing. */
  | "deaf"
  /** The connection is refused: surely nothing was sent. */
  | "unreachable";

/** Every {@link Script}. */
export const SCRIPTS: readonly Script[] = [
  "ok",
  "done",
  "no response",
  "job fails",
  "end unseen",
  "refused",
  "refused once",
  "dropped",
  "reset",
  "5xx",
  "slow",
  "silent",
  "deaf",
  "unreachable",
];

/** Scripts that execute what was asked. */
export const EXECUTING: ReadonlySet<Script> = new Set<Script>([
  "ok",
  "done",
  "no response",
  "job fails",
  "end unseen",
  "refused once",
  "reset",
  "5xx",
  "slow",
  "silent",
]);

/** One execution, which a cautious service asks for once. */
export interface Execution {
  readonly target: string;
  readonly operation: string;
  /** By the vendor's clock (ms). */
  readonly at: number;
  readonly job: string;
  readonly fails: boolean;
  /** Whether no look at it shows anything. */
  readonly unseen: boolean;
}

/** A vendor whose requests are not idempotent. */
export interface FakeVendor {
  /** In order. */
  readonly executions: readonly Execution[];
  /** What comes of the next requests, in order; the last one stays. Default `ok`. */
  script(...scripts: Script[]): void;
  /** What comes of the requests for one target; nothing else then does. */
  scriptFor(target: string, script: Script): void;
  /** One request; answers the job. */
  restart(target: string, operation: string): Promise<{ readonly job: string; readonly script: Script }>;
  /** The execution of an operation, if there was one. */
  find(operation: string): Execution | undefined;
  hasEnded(execution: Execution): boolean;
}

/** What a {@link FakeVendor} can be told; times in ms. */
export interface VendorOptions {
  readonly monotonic: () => number;
  /** A job takes so long. Default 20. */
  readonly jobMs?: number;
  /** An answer that is late takes so long. Default 100. */
  readonly slowMs?: number;
  /** An answer that never comes is waited for so long. Default 150. */
  readonly limitMs?: number;
  /** Told of each execution before it counts. */
  readonly executing?: (execution: Execution) => void;
}

const unknown = (what: string): Failure => new Failure("OUTCOME_UNKNOWN", what, { outcome: "unknown" });

/** A vendor that does what a test says. */
export function createFakeVendor(options: VendorOptions): FakeVendor {
  const { monotonic, jobMs = 20, slowMs = 100, limitMs = 150, executing = () => {} } = options;
  const executions: Execution[] = [];
  const refused = new Set<string>();
  let scripts: Script[] = [];
  const scriptsFor = new Map<string, Script>();
  const execute = (target: string, operation: string, script: Script): string => {
    const job = `job-${executions.length + 1}`;
    const execution = {
      target,
      operation,
      at: monotonic(),
      job,
      fails: script === "job fails",
      unseen: script === "end unseen",
    };
    executing(execution);
    executions.push(execution);
    return job;
  };
  const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  return {
    executions,
    script: (...next) => {
      scripts = next;
    },
    scriptFor: (target, script) => void scriptsFor.set(target, script),
    async restart(target, operation) {
      const script = scriptsFor.get(target) ?? (scripts.length > 1 ? scripts.shift() : scripts[0]) ?? "ok";
      if (script === "unreachable") throw new Failure("VENDOR_UNREACHABLE", "the connection was refused");
      if (script === "refused" || (script === "refused once" && !refused.has(operation))) {
        refused.add(operation);
        throw new Failure("TARGET_STATE_FORBIDS", "the target does not allow that now");
      }
      if (script === "dropped") throw unknown("the connection was lost");
      if (script === "deaf") {
        await later(limitMs);
        throw unknown("no answer came");
      }
      const job = execute(target, operation, script);
      switch (script) {
        case "reset":
          throw unknown("the connection was reset");
        case "5xx":
          throw unknown("the vendor answered with an error of its own");
        case "silent":
          await later(limitMs);
          throw unknown("no answer came");
        case "slow":
          await later(slowMs);
          return { job, script };
        default:
          return { job, script };
      }
    },
    find: (operation) => executions.find((one) => one.operation === operation),
    hasEnded: ({ at }) => monotonic() - at >= jobMs,
  };
}

/** What a {@link createFakeAction} can be told. */
export interface FakeActionOptions {
  readonly vendor: FakeVendor;
  /** Default `applied`. */
  readonly blocksUntil?: "applied" | "ended";
  /** Default false. */
  readonly permitsAtOnce?: boolean;
  /** Milliseconds; default 60,000. */
  readonly settleMs?: number;
  /** Milliseconds; default an hour. */
  readonly endsWithinMs?: number;
  /** Whether the vendor can show that something did not happen, and what happened without a job's id. Default true. */
  readonly authoritative?: boolean;
  /** Milliseconds between two looks. Default 5. */
  readonly againMs?: number;
  /** Called on the way to the send; a process that is stopped or dead gets no further. */
  readonly failpoint?: (point: "permitted" | "answered") => Promise<void>;
  /** Called by the checks before anything is stored. */
  readonly prepare?: (asking: PrepareContext) => Promise<void>;
}

/** An action of a fake vendor: the restart of a workload by its name alone. */
export type FakeAction = Action<typeof RestartRequestSchema, typeof EmptySchema, string>;

/** Restarts with a {@link FakeVendor}. */
export const createFakeAction = (options: FakeActionOptions): FakeAction =>
  createActionOf(options, {
    method: WorkloadService.method.restart,
    targetOf: ({ name }) => `fake/${name}`,
    answer: () => create(Empty),
  });

/** How an rpc restarts with a {@link FakeVendor}. */
export interface FakeRpc<Input extends DescMessage, Output extends DescMessage> {
  readonly method: DescMethodUnary<Input, Output>;
  readonly targetOf: (request: MessageShape<Input>) => string;
  /** What it answers when the vendor took its request. */
  readonly answer: (request: MessageShape<Input>) => MessageShape<Output>;
}

/** An action of any rpc. */
export function createActionOf<Input extends DescMessage, Output extends DescMessage>(
  options: FakeActionOptions,
  { method, targetOf, answer }: FakeRpc<Input, Output>,
): Action<Input, Output, string> {
  const { vendor, blocksUntil = "applied", settleMs = 60_000, authoritative = true, againMs = 5 } = options;
  const { failpoint = async () => {}, prepare = async () => {} } = options;
  return {
    method,
    blocksUntil,
    permitsAtOnce: options.permitsAtOnce ?? false,
    settleMs,
    endsWithinMs: options.endsWithinMs ?? 3_600_000,
    lookMs: againMs,
    targetOf,
    verbs: ["restart"],
    actionOf: () => "restart",

    async prepare(request, asking) {
      await prepare(asking);
      return targetOf(request);
    },

    async send(request, target, { permit, operation, call }) {
      const send = async (evidence: JsonObject) => {
        const leave = await permit(evidence);
        await failpoint("permitted");
        leave();
        try {
          return await vendor.restart(target, operation);
        } finally {
          await failpoint("answered");
        }
      };
      const { job, script } = await send({ attempt: 1 }).catch((error: unknown) => {
        // Refused for sure: the one case in which a second request may follow.
        if (error instanceof Failure && error.reason === "TARGET_STATE_FORBIDS") return send({ attempt: 2 });
        throw error;
      });
      call.outcome = "applied";
      return {
        vendorJob: job,
        ...(script !== "no response" && { response: answer(request) }),
        ...(script === "done" && { done: true }),
      };
    },

    observe: async (view, request) => look(view, request),
  };

  function look({ name, vendorJob }: OperationView, request: MessageShape<Input>): Observation<Output> {
    const execution = vendor.find(name);
    if (!authoritative && vendorJob === "") return { kind: "unclear", againMs };
    if (execution === undefined) return { kind: "absent", againMs };
    if (execution.unseen) return { kind: "unclear", againMs };
    const response = answer(request);
    if (!vendor.hasEnded(execution)) return { kind: "running", response, againMs, progress: "running" };
    return execution.fails
      ? {
          kind: "failed",
          failure: new Failure("VENDOR_JOB_FAILED", "the vendor says that the job failed", { outcome: "applied" }),
        }
      : { kind: "succeeded", response };
  }
}
