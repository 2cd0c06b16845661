import type { DescMessage, DescMethodUnary, JsonObject, MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import type { Warned } from "./call.ts";
import type { Failure, Outcome } from "./errors.ts";
import type { Caller } from "./identity.ts";

/**
 * Where an operation stands (restart.operation.v1.RestartMetadata.State). ACCEPTED has sent nothing; SENDING and UNKNOWN may have
 * sent; SENT was taken by the vendor and has not ended; the others are its end, of which UNRESOLVED is one that nobody knows. No arrow
 * leads back to ACCEPTED.
 */
export type OperationState =
  | "ACCEPTED"
  | "SENDING"
  | "SENT"
  | "UNKNOWN"
  | "SUCCEEDED"
  | "FAILED"
  | "CANCELLED"
  | "NOT_OBSERVED"
  | "UNRESOLVED";

/** One operation as an {@link Action} sees it, in this process or in the one that takes over from it. */
export interface OperationView {
  /** operations/{id}. */
  readonly name: string;
  /** Resource name of what is restarted. */
  readonly target: string;
  readonly state: OperationState;
  /** What {@link SendContext.permit} and later {@link SendResult.evidence} or observations recorded: all that is known beside the request. */
  readonly evidence: JsonObject;
  /** The vendor's handle; empty while there is none. */
  readonly vendorJob: string;
}

/**
 * One thing that can be done to targets, as operations know it: a target describes each of its mutating rpcs by one. Operations
 * decide whether and when something is sent; an action knows how, and how to read what became of it.
 */
export interface Action<
  Input extends DescMessage = DescMessage,
  Output extends DescMessage = DescMessage,
  Plan = unknown,
> {
  /** Its rpc. Its output is what the operation answers. */
  readonly method: DescMethodUnary<Input, Output>;
  /** Until when an operation keeps others from its target: `applied` for Kubernetes, `ended` for clouds. */
  readonly blocksUntil: "applied" | "ended";
  /**
   * Whether nothing lies between the checks of `prepare` and the permit that `send` asks for: then a call is accepted and permitted by one
   * write. False, the default: `send` looks again before it asks, and until then nobody else may begin on the target.
   */
  readonly permitsAtOnce?: boolean;
  /**
   * How long (ms) after an outcome became unknown the target may still come to show the restart: longer than the send window, the
   * vendor request and a plausible pause together.
   */
  readonly settleMs: number;
  /**
   * How long (ms) after a send its end is waited for while no look says that it runs; where looks do, at most a day. Then it is
   * UNRESOLVED, and an operator finds out.
   */
  readonly endsWithinMs: number;
  /** How often (ms) what was sent is looked at, unless an observation says otherwise: a look that fails is repeated no sooner. */
  readonly lookMs: number;
  /** Resource name of what a request is about. */
  targetOf(request: MessageShape<Input>): string;
  /** Every word that {@link actionOf} may answer. */
  readonly verbs: readonly string[];
  /** What is done, in the vendor's word: `restart`, `soft_restart`. */
  actionOf(request: MessageShape<Input>): string;
  /**
   * Reads and checks everything that can be checked without effect: nothing that persists is sent. With `validateOnly` that is all
   * that happens, a vendor's own dry run included.
   *
   * @throws Failure outcome not_applied: why it must not run. Nothing of the call is stored then.
   */
  prepare(request: MessageShape<Input>, context: PrepareContext): Promise<Plan>;
  /**
   * Sends the one request. Reads apart, `permit` comes first; a further request only after the one before was refused for sure, with a
   * new permit.
   *
   * @throws Failure its outcome decides: not_applied and applied end the operation, unknown has it looked for.
   */
  send(request: MessageShape<Input>, plan: NoInfer<Plan>, context: SendContext): Promise<SendResult<Output>>;
  /**
   * Looks what became of an operation that is SENT or UNKNOWN, by reads alone. It may be asked by any process, more than once at a time.
   *
   * @throws anything when it could not look; it is asked again later, and concludes nothing.
   */
  observe(operation: OperationView, request: MessageShape<Input>, signal: AbortSignal): Promise<Observation<Output>>;
  /**
   * Follows what becomes of an operation that is SENT, where the target tells of its changes: then it is not looked at again and again.
   *
   * @returns ends it; undefined when it cannot be followed now, and has to be looked at.
   */
  follow?(operation: OperationView, request: MessageShape<Input>, follower: Follower<Output>): (() => void) | undefined;
}

/** Who follows an operation. */
export interface Follower<Output extends DescMessage = DescMessage> {
  /** Told what its target shows: as it is now, and after each change. Where several come at once, the last one counts. */
  readonly seen: (observation: Observation<Output>) => void;
  /** Told that nothing more will be shown: from now on it has to be looked at. */
  readonly lost: () => void;
}

/** What an action gets for its checks. */
export interface PrepareContext extends Caller {
  /** Fires when the caller goes away or its deadline passes. */
  readonly signal: AbortSignal;
  /** Milliseconds until the call's deadline. */
  readonly remainingMs: () => number;
  readonly validateOnly: boolean;
  /** Told of what a successful restart should have people know: in the header of the answer and in the operation. */
  readonly warn: (warnings: Iterable<Warned>) => void;
}

/** What an action gets to send by. */
export interface SendContext extends Omit<PrepareContext, "validateOnly" | "principal"> {
  /** operations/{id}. */
  readonly operation: string;
  /**
   * Asks, durably, for the right to send now.
   *
   * @param evidence what somebody needs who finds out later what became of the request; it is stored before anything leaves.
   * @returns a check to call immediately before the first byte leaves: it throws when that is too late, and then nothing may leave.
   * @throws Failure when nothing may be sent: cancelled, the caller gone, the store in doubt.
   */
  readonly permit: (evidence: JsonObject) => Promise<() => void>;
}

/** The vendor took the request. */
export interface SendResult<Output extends DescMessage> {
  /** The rpc's answer, once it is known; without one the caller waits for an observation that has it. */
  readonly response?: MessageShape<Output>;
  /** Whether nothing is left to observe. */
  readonly done?: boolean;
  readonly vendorJob?: string;
  /** Replaces the permit's. */
  readonly evidence?: JsonObject;
}

/**
 * What looking at a target showed.
 *
 * - running: the restart was applied, and the vendor says that it has not ended.
 * - succeeded, failed: it was applied and has ended.
 * - absent: the target shows, and would show, no trace of it.
 * - unclear: the target cannot show whether it was applied, or whether it has ended.
 *
 * After `settleMs` absent ends an UNKNOWN operation as NOT_OBSERVED, unclear as UNRESOLVED. For a SENT one both mean: look again, and
 * after `endsWithinMs` UNRESOLVED.
 */
export type Observation<Output extends DescMessage = DescMessage> = ObservationDetails &
  (
    | { readonly kind: "running"; readonly response?: MessageShape<Output> }
    | { readonly kind: "succeeded"; readonly response?: MessageShape<Output> }
    | { readonly kind: "failed"; readonly failure: Failure }
    | { readonly kind: "absent" }
    | { readonly kind: "unclear" }
  );

/** What every {@link Observation} may say beside its kind. */
export interface ObservationDetails {
  /** How far it has come, in the vendor's words. */
  readonly progress?: string;
  /** When to look again (ms), unless it has ended. */
  readonly againMs?: number;
  readonly vendorJob?: string;
  /** Replaces what was recorded. */
  readonly evidence?: JsonObject;
}

/**
 * One call about several targets: a parent operation, which sends nothing and blocks nothing, with a child operation for each item,
 * which does. A call of which no item can be sent (each fails its guard, or is blocked) fails and stores nothing.
 */
export interface BatchAction<
  Input extends DescMessage = DescMessage,
  Output extends DescMessage = DescMessage,
  Plan = unknown,
> {
  /** Its rpc. Its output is what the call answers. */
  readonly method: DescMethodUnary<Input, Output>;
  /**
   * What is done to one target, by the same rpc: its request is the call's, narrowed to that target, and its response the rpc's output
   * for that target alone. Its `prepare` is not called: {@link prepareAll} is.
   */
  readonly item: Action<Input, Output, Plan>;
  /** Resource name of what a call is about as a whole. */
  targetOf(request: MessageShape<Input>): string;
  /** Every word that {@link actionOf} may answer. */
  readonly verbs: readonly string[];
  /** What is done, in the vendor's word. */
  actionOf(request: MessageShape<Input>): string;
  /** The call's request, narrowed to each of its targets, in the order of the answer; each target once. */
  itemsOf(request: MessageShape<Input>): readonly MessageShape<Input>[];
  /**
   * The checks of all items, as {@link Action.prepare} for one.
   *
   * @returns for each item, in order, its plan, or why it fails: it is not sent, the others are.
   * @throws Failure outcome not_applied: why the whole call must not run. Nothing of it is stored then.
   */
  prepareAll(
    request: MessageShape<Input>,
    items: readonly MessageShape<Input>[],
    context: PrepareContext,
  ): Promise<readonly (Plan | Failure)[]>;
  /**
   * The answer of the call, made of what is known of its items, in order. It is asked again whenever more is known, by any process:
   * nothing but its arguments may decide.
   *
   * @throws Failure of a call all of whose items failed. Its outcome: unknown when an item's is, else applied when an item's is.
   */
  combine(request: MessageShape<Input>, results: readonly ItemResult<Input, Output>[]): MessageShape<Output>;
}

/** What is known of one item of a call. */
export interface ItemResult<Input extends DescMessage = DescMessage, Output extends DescMessage = DescMessage> {
  /** Its request, of {@link BatchAction.itemsOf}. */
  readonly request: MessageShape<Input>;
  /** operations/{id} of its own; empty when nothing was stored: for validate_only, or since no item can be sent. */
  readonly operation: string;
  /** Why it failed; undefined: it did not. */
  readonly failure: Failure | undefined;
  /** What its action answered; undefined when it failed, and when nothing was sent since the call has validate_only. */
  readonly response: MessageShape<Output> | undefined;
}

/** What every mutating request has. */
export interface MutatingRequest {
  readonly requestId: string;
  readonly validateOnly: boolean;
  readonly reason: string;
  /** Whether it goes on although a freeze is in the way. */
  readonly overrideFreeze: boolean;
}

/** Who makes operations of mutating calls. */
export interface Operations {
  /**
   * Answers a mutating call by the operation that it is, or was: request_id, guards, the store, one send, the answer.
   *
   * @throws Failure what the call failed with, be it now or when its request_id was first used.
   */
  run<Input extends DescMessage, Output extends DescMessage, Plan>(
    action: Action<Input, Output, Plan>,
    request: MessageShape<Input> & MutatingRequest,
    context: HandlerContext,
  ): Promise<MessageShape<Output>>;
  /**
   * The same for a call about several targets. It is answered when each item's send has ended, or its outcome is unknown.
   *
   * @throws Failure what the whole call failed with: {@link BatchAction.prepareAll}'s, or {@link BatchAction.combine}'s.
   */
  runAll<Input extends DescMessage, Output extends DescMessage, Plan>(
    batch: BatchAction<Input, Output, Plan>,
    request: MessageShape<Input> & MutatingRequest,
    context: HandlerContext,
  ): Promise<MessageShape<Output>>;
}

/** Whether anything was changed, by what is known of an operation's state. */
export const outcomeOfState: Readonly<Record<OperationState, Outcome | undefined>> = {
  ACCEPTED: "not_applied",
  SENDING: "unknown",
  SENT: "applied",
  UNKNOWN: "unknown",
  SUCCEEDED: "applied",
  FAILED: undefined, // its error says
  CANCELLED: "not_applied",
  NOT_OBSERVED: "not_applied",
  UNRESOLVED: "unknown", // unless its error says that it was applied
};
