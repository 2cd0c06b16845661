import { clearTimeout, setTimeout } from "node:timers";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { authorizerKey } from "../../core/access.ts";
import { type Call, callKey, OPERATION_HEADER, type Warned, warn } from "../../core/call.ts";
import { remainingMs } from "../../core/deadline.ts";
import { Failure, type Outcome } from "../../core/errors.ts";
import { OVERRIDE_FREEZE } from "../../core/freeze.ts";
import { callerIn } from "../../core/identity.ts";
import {
  type Action,
  type MutatingRequest,
  type OperationState,
  outcomeOfState,
  type PrepareContext,
} from "../../core/operation.ts";
import { principalKey } from "../../core/principal.ts";
import { answerOf, outcomeUnknown, wentOn } from "../records/answer.ts";
import type { FreezeGuard, Override } from "../records/freezes.ts";
import type { Waiter } from "../records/wait.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Found, Store } from "../store/store.ts";
import type { Acceptance } from "./accept.ts";
import type { ExecuteOptions } from "./execute.ts";

/** What the calls of one process share while they run. */
export interface CallEnvironment {
  readonly store: Store;
  readonly freezes: FreezeGuard;
  /** Epoch ms. */
  readonly now: () => number;
  readonly newId: () => string;
  /** Takes work whose caller no longer waits for it. */
  readonly background: (call: Call, work: Promise<unknown>) => void;
  /** Told of what nobody else is told of. */
  readonly onError: (error: unknown, what: string) => void;
  readonly execution: ExecuteOptions;
  readonly waiter: Waiter;
  readonly inFlight: InFlightCalls;
}

/** The operations whose calls run in this process: they are nobody's orphans. */
export interface InFlightCalls {
  has(name: string): boolean;
  /** Some are about to run; the function ends that. Two callers may be about to make the same one. */
  take(names: readonly string[]): () => void;
  /** Nothing was sent of one, and whether it was stored is in doubt. Of many such some may be forgotten: they are looked for, then. */
  disown(name: string): void;
  /** Whether surely nothing was sent of one by this process. */
  isDisowned(name: string): boolean;
  /** What is left to do for them, whoever waits for it. */
  land(work: Promise<unknown>): void;
  /** Waits for what is left to do. */
  landed(): Promise<void>;
}

/** So many names are kept of operations whose acceptance was in doubt. */
const MAX_DISOWNED = 10_000;

/** No operation runs yet. */
export function createInFlightCalls(): InFlightCalls {
  const counts = new Map<string, number>();
  const landing = new Set<Promise<unknown>>();
  const disowned = new Set<string>();
  return {
    has: (name) => counts.has(name),
    take(names) {
      for (const nameOperation of names) {
        counts.set(nameOperation, (counts.get(nameOperation) ?? 0) + 1);
        disowned.delete(nameOperation);
      }
      return () => {
        for (const name of names) {
          const others = (counts.get(name) ?? 1) - 1;
          if (others === 0) counts.delete(name);
          else counts.set(name, others);
        }
      };
    },
    disown(name) {
      // Of two calls with one request_id, the other one may have sent it.
      if (counts.get(name) === 1 && disowned.size < MAX_DISOWNED) disowned.add(name);
    },
    isDisowned: (name) => disowned.has(name),
    land(work) {
      const landed = work.then(
        () => {},
        () => {}, // whoever waits for the work itself is told
      );
      landing.add(landed);
      void landed.then(() => landing.delete(landed));
    },
    async landed() {
      await Promise.all(landing);
    },
  };
}

/** Who asks for an operation, here and now. */
export const acceptance = (
  { store, newId, now }: CallEnvironment,
  { values }: Pick<HandlerContext, "values">,
): Acceptance => ({
  principal: values.get(principalKey).id,
  replica: store.replica,
  newId,
  now: now(),
});

/** What a call may do in spite of freezes. */
export const overrideOf = (
  { overrideFreeze }: Pick<MutatingRequest, "overrideFreeze">,
  { values }: Pick<HandlerContext, "values">,
): Override => ({
  asked: overrideFreeze,
  may: (target) =>
    values.get(authorizerKey).authorize({ principal: values.get(principalKey), permission: OVERRIDE_FREEZE, target })
      .allowed,
});

/** What an action is asked with, and the warnings that it gives. */
export function newPrepareContext(
  { validateOnly }: Pick<MutatingRequest, "validateOnly">,
  context: HandlerContext,
): { prepareContext: PrepareContext; warnings: ReadonlySet<Warned> } {
  const warnings = new Set<Warned>();
  const prepareContext: PrepareContext = {
    ...callerIn(context),
    signal: context.signal,
    remainingMs: () => remainingMs(context.values),
    validateOnly,
    warn: (added) => {
      for (const warning of added) warnings.add(warning);
      warn(context, warnings);
    },
  };
  return { prepareContext, warnings };
}

/** What a call may say of an operation that another call runs: what that one has not sent yet, it may still send. */
export const outcomeOfJoined = (state: OperationState): Outcome | undefined =>
  state === "ACCEPTED" ? "unknown" : outcomeOfState[state];

/**
 * What a caller is told who waits for an operation that cannot be waited for any longer: because the caller leaves, or the store is away,
 * which says nothing of what was sent before, and whoever took it for a refusal would ask once more.
 */
export function notFollowed(
  error: unknown,
  known: Pick<OperationRecord, "name" | "target">,
  signal: AbortSignal,
  { outcome }: Pick<Call, "outcome">,
): unknown {
  if (outcome === "not_applied") return error;
  if (signal.aborted) return wentOn(known, signal, outcome, error);
  const isAway = error instanceof Failure && error.reason === "STORE_UNAVAILABLE";
  return isAway ? outcomeUnknown(known, { cause: error }) : error;
}

/** Waits until it is known what the call of an operation is answered with, as `answerOf` says it. */
export async function waitForAnswer<Output extends DescMessage>(
  first: NonNullable<Found["record"] | Found["tombstone"]>,
  action: Pick<Action<DescMessage, Output>, "method">,
  { waiter, call, signal }: { readonly waiter: Waiter; readonly call: Call; readonly signal: AbortSignal },
): Promise<{ response: MessageShape<Output>; warnings: readonly string[] }> {
  let response = answerOf(action, first);
  let record = "version" in first ? first : undefined;
  while (response === undefined) {
    if (record !== undefined) {
      call.outcome = outcomeOfJoined(record.state) ?? call.outcome;
    }
    record = await waiter.nextChange(record ?? first, signal).catch((error: unknown) => {
      throw notFollowed(error, first, signal, call);
    });
    response = answerOf(action, record);
  }
  return { response, warnings: record?.warnings ?? [] };
}

/** Waits as long as the caller does: one who leaves after something left is told what is known of it then. */
export async function whileWanted<Result>(
  record: OperationRecord,
  { signal, values }: HandlerContext,
  answered: Promise<Result>,
  { background }: CallEnvironment,
): Promise<Result> {
  const call = values.get(callKey);
  const { promise: gone, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    if (call.outcome !== "not_applied") {
      background(call, answered);
      reject(wentOn(record, signal, call.outcome));
    }
  };
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([answered, gone]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** What work gives, or undefined when that takes longer. */
export async function within<Result>(work: Promise<Result>, limitMs: number): Promise<Result | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(resolve, limitMs, undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Tells the caller, and the log, which operation a call is. */
export function name({ responseHeader, values }: HandlerContext, operation: Pick<OperationRecord, "name">): void {
  responseHeader.set(OPERATION_HEADER, operation.name);
  values.get(callKey).operation = operation.name;
}
