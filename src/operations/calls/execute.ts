import { create, type DescMessage, type MessageShape, toJsonString } from "@bufbuild/protobuf";
import { abandoned } from "../../core/abandoned.ts";
import type { Call } from "../../core/call.ts";
import { Failure, toFailure } from "../../core/errors.ts";
import { identityOf } from "../../core/identity.ts";
import type { Action, OperationState, PrepareContext, SendContext, SendResult } from "../../core/operation.ts";
import { formatFailure, registry } from "../../core/status.ts";
import type { FailpointHook } from "../records/failpoint.ts";
import type { FreezeGuard, Override, Passed } from "../records/freezes.ts";
import { storedEvidence } from "../records/span.ts";
import { storeUnavailable } from "../records/unavailable.ts";
import type { AuditEvent, Change, OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";

/** What sending takes. */
export interface ExecuteOptions {
  readonly store: Store;
  readonly freezes: FreezeGuard;
  /** Epoch ms, for people. */
  readonly now: () => number;
  /** A clock in ms that never goes back: ages are judged by it. */
  readonly monotonic: () => number;
  readonly failpoint: FailpointHook;
  /** How long (ms) a permit is good for: a process that was held up longer does not send. */
  readonly sendWindowMs: number;
  /** Told of an operation whose call is over, as it is stored then: from now on somebody has to look what becomes of it. */
  readonly over: (record: OperationRecord) => void;
  /** Waits before a write that failed is tried again. */
  readonly pause: (attempt: number) => Promise<void>;
}

/**
 * Stores an operation that has not been accepted yet as one that may be sent: W1 and W2 in one write.
 *
 * @returns false when freezes have changed since it was judged: then nothing was stored.
 * @throws whatever keeps it from being sent; then {@link execute} throws it as well, and records nothing.
 */
export type Begin = (permitted: OperationRecord, passed: Passed) => Promise<boolean>;

/** How the one send of an operation ended. */
export interface Execution<Output extends DescMessage> {
  /** The vendor's answer, or why there is none. */
  readonly failure: Failure | undefined;
  readonly response: MessageShape<Output> | undefined;
  /** The operation with that outcome, once it is stored. */
  readonly stored: Promise<OperationRecord>;
}

/** States that the process which alone may send may still conclude from. */
const OPEN: ReadonlySet<OperationState> = new Set<OperationState>(["ACCEPTED", "SENDING", "UNKNOWN"]);

/**
 * Sends the one request of an operation and records its outcome (store.md §3.3: W2, the send, W3). It is called once for an operation,
 * by the process that stores it; nothing else ever sends.
 *
 * @param warnings tokens that the action warned of, filled until the send has ended.
 * @param override what its call may do in spite of freezes.
 * @param begin stores the operation with its first permit; without it, it is stored already.
 * @throws what kept an operation from being stored, be it `begin` or something before its first permit: nothing was sent.
 */
export async function execute<Input extends DescMessage, Output extends DescMessage, Plan>(
  accepted: OperationRecord,
  action: Action<Input, Output, Plan>,
  request: MessageShape<Input>,
  plan: Plan,
  context: PrepareContext,
  warnings: ReadonlySet<string>,
  override: Override,
  options: ExecuteOptions,
  begin?: Begin,
): Promise<Execution<Output>> {
  const { failpoint } = options;
  const permits = new Permits(accepted, context, override, options, begin);
  let ended: { sent: SendResult<Output> } | { failure: Failure };
  try {
    const sending: SendContext = {
      call: context.call,
      signal: context.signal,
      remainingMs: context.remainingMs,
      warn: context.warn,
      operation: accepted.name,
      permit: (evidence) => permits.ask(storedEvidence(evidence, context.call.traceparent)),
    };
    ended = { sent: await action.send(request, plan, sending) };
  } catch (error) {
    ended = { failure: failureOf(error, context.call, permits.left) };
    if (!permits.isStored) throw ended.failure;
  }
  await failpoint("after send");
  const warned = [...warnings];
  const end: Conclusion =
    "sent" in ended
      ? concludeSent(action, ended.sent, context.call, warned, options)
      : concludeFailed(ended.failure, permits.left, warned, options);
  await failpoint("before W3");
  const stored = conclude(permits.current, end, options).then(async (record) => {
    await failpoint("after W3");
    options.over(record);
    return record;
  });
  return {
    failure: "failure" in ended ? ended.failure : undefined,
    response: "sent" in ended ? ended.sent.response : undefined,
    stored,
  };
}

/** The permits to send of one operation. */
class Permits {
  /** The operation as this process last saw it. */
  current: OperationRecord;
  /** Whether a byte may have left that nothing refused for sure. */
  left = false;
  #begin: Begin | undefined;
  readonly #context: PrepareContext;
  readonly #override: Override;
  readonly #options: ExecuteOptions;

  constructor(
    accepted: OperationRecord,
    context: PrepareContext,
    override: Override,
    options: ExecuteOptions,
    begin: Begin | undefined,
  ) {
    this.current = accepted;
    this.#begin = begin;
    this.#context = context;
    this.#override = override;
    this.#options = options;
  }

  /** Whether the operation is stored. */
  get isStored(): boolean {
    return this.#begin === undefined;
  }

  /** W2: only the one whose compare-and-set hit, or who stored it with its permit, may send, and only soon. */
  async ask(evidence: string): Promise<() => void> {
    const { now, monotonic, failpoint, sendWindowMs } = this.#options;
    this.#stopIfLeft();
    // A request before this one was refused for sure, or there would be no permit asked for.
    this.left = false;
    this.#context.call.outcome = "not_applied";
    await failpoint("before W2");
    const askedAt = monotonic();
    this.current = await this.#permitted({ state: "SENDING", evidence, sendTime: now() });
    await failpoint("after W2");
    return () => {
      this.#stopIfLeft();
      if (monotonic() - askedAt > sendWindowMs) {
        throw new Failure(
          "DEADLINE_EXCEEDED",
          `this server was held up for more than ${sendWindowMs} ms before it could send; nothing was sent`,
        );
      }
      this.left = true;
      this.#context.call.outcome = "unknown";
    };
  }

  /** Freezes are judged anew, and the write names those that it was judged by, until they have not changed in between. */
  async #permitted(permit: Permit): Promise<OperationRecord> {
    const { freezes } = this.#options;
    for (;;) {
      const passed = await freezes.pass([this.current.target], this.#override);
      const permitted = await this.#write(permit, passed);
      if (permitted !== undefined) return permitted;
      freezes.forget(passed.epoch);
    }
  }

  /** Answers undefined when freezes have changed since it was judged. */
  async #write(permit: Permit, passed: Passed): Promise<OperationRecord | undefined> {
    const begin = this.#begin;
    if (begin !== undefined) {
      const permitted = { ...this.current, ...permit };
      if (!(await begin(permitted, passed))) return undefined;
      this.#begin = undefined;
      return permitted;
    }
    const { store } = this.#options;
    const sending = await store
      .change(
        this.current,
        permit,
        permitEvent(passed, this.current.principal, identityOf(this.#context, this.#override.asked)),
        passed.epoch,
      )
      .catch((error: unknown) => {
        throw storeUnavailable(error);
      });
    if (sending !== undefined) return sending;
    const { found, epoch } = await this.#missed();
    if (found?.version === this.current.version && epoch !== passed.epoch) return undefined;
    this.current = found ?? this.current;
    throw this.#refusal(found);
  }

  /** What there is where a permit missed. */
  async #missed(): Promise<{ found: OperationRecord | undefined; epoch: number }> {
    const { store } = this.#options;
    try {
      const [found, { epoch }] = await Promise.all([store.get(this.current.name), store.freezes()]);
      return { found, epoch };
    } catch (error) {
      throw storeUnavailable(error);
    }
  }

  #stopIfLeft(): void {
    const { signal } = this.#context;
    if (signal.aborted) {
      throw abandoned(signal);
    }
  }

  /** Why the compare-and-set missed: somebody cancelled the operation, or took this process for dead. */
  #refusal(found: OperationRecord | undefined): Failure {
    return found?.state === "CANCELLED" || found?.cancelRequested
      ? new Failure("CANCELLED", "the operation was cancelled before anything was sent")
      : new Failure(
          "DEADLINE_EXCEEDED",
          `another server took this one for dead and gave ${this.current.name} up (${found?.state ?? "deleted"}); nothing was sent`,
        );
  }
}

type Permit = Pick<OperationRecord, "state" | "evidence" | "sendTime">;

const permitEvent = ({ over }: Passed, actor: string, identity: string | undefined): AuditEvent =>
  over.length === 0
    ? { event: "permit" }
    : { event: "permit over a freeze", actor, identity, detail: over.map((name) => `freezes/${name}`).join(", ") };

function failureOf(error: unknown, call: Call, left: boolean): Failure {
  if (error instanceof Failure) {
    return error;
  }
  // A defect tells nothing of what left.
  call.outcome = left ? "unknown" : "not_applied";
  return toFailure(error, call);
}

interface Conclusion {
  readonly change: Change;
  readonly event: AuditEvent;
}

function concludeSent<Output extends DescMessage>(
  action: Action<DescMessage, Output>,
  { response, done = false, vendorJob, evidence }: SendResult<Output>,
  { traceparent }: Call,
  warnings: readonly string[],
  { now }: ExecuteOptions,
): Conclusion {
  const { output } = action.method;
  const answer = response ?? (done ? create(output) : undefined);
  return {
    event: { event: "sent" },
    change: {
      warnings,
      blocks: action.blocksUntil === "ended" && !done,
      ...(answer && { response: toJsonString(output, answer, { registry }) }),
      ...(vendorJob !== undefined && { vendorJob }),
      ...(evidence && { evidence: storedEvidence(evidence, traceparent) }),
      ...(done ? { state: "SUCCEEDED" as const, endTime: now() } : { state: "SENT" as const }),
    },
  };
}

function concludeFailed(
  failure: Failure,
  left: boolean,
  warnings: readonly string[],
  { now }: ExecuteOptions,
): Conclusion {
  const detail = `${failure.reason}: ${failure.message}`;
  if (left && failure.outcome === "unknown") {
    return {
      event: { event: "outcome unknown", detail },
      change: { state: "UNKNOWN", warnings },
    };
  }
  const given = failure.reason === "CANCELLED" || failure.reason === "DEADLINE_EXCEEDED";
  const state = !left && given ? "CANCELLED" : "FAILED";
  return {
    event: { event: left ? "refused" : "not sent", detail },
    change: { state, warnings, blocks: false, error: formatFailure(failure), endTime: now() },
  };
}

/** W3, as often as it takes: what is known now must not be lost because the store is away for a while. */
async function conclude(
  before: OperationRecord,
  { change, event }: Conclusion,
  { store, pause }: ExecuteOptions,
): Promise<OperationRecord> {
  let current = before;
  for (let attempt = 0; ; attempt++) {
    if (!OPEN.has(current.state) && !lacks(current, change)) {
      // Either this very write had happened, or somebody has ended the operation meanwhile.
      return current;
    }
    try {
      const next = await store.change(current, change, event);
      if (next !== undefined) {
        return next;
      }
      const found = await store.get(current.name);
      if (found === undefined) {
        return current;
      }
      current = found;
    } catch {
      await pause(attempt); // the store is away: the beat says so, and this write waits for it
    }
  }
}

/** Whether somebody was faster to see that the vendor had taken the request, but does not know what it answered. */
const lacks = (found: OperationRecord, { state, response, vendorJob }: Change): boolean =>
  found.state === "SENT" &&
  (state === "SENT" || state === "SUCCEEDED") &&
  ((response !== undefined && found.response === undefined) || (Boolean(vendorJob) && found.vendorJob === ""));
