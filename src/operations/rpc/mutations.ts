import { Failure, resourceInfo } from "../../core/errors.ts";
import { formatFailure } from "../../core/status.ts";
import { notObserved } from "../records/answer.ts";
import { notFound, OPERATION_TYPE } from "../records/find.ts";
import { guarded } from "../records/unavailable.ts";
import { type AuditEvent, type Change, ENDED, type OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";

/** Who gives a verdict, and when. */
export interface Actor {
  /** The caller. */
  readonly actor: string;
  /** Who that is, as the audit trail keeps it (core/identity.ts). Default: nobody is asked. */
  readonly identity?: string | undefined;
  /** Epoch ms. */
  readonly now: () => number;
}

/** What an operator found out about an operation that is UNRESOLVED. */
export interface Resolution extends Actor {
  readonly applied: boolean;
  /** How, for the audit trail. */
  readonly note: string;
}

/** One step: what to change, or undefined when nothing is left to do. Throws where it must not be done. */
type Step = (current: OperationRecord) => Promise<{ change: Change; event: AuditEvent } | undefined>;

/** An event of the audit trail that {@link resolveOperation} reads again. */
const RESOLVED = "resolved";

/** What has ended hardly changes: so often it may, while somebody deletes it. */
const MAX_ATTEMPTS = 10;

/** Repeats a step on the newest version until nobody was faster. Answers the operation as it is then. */
async function settle(store: Store, first: OperationRecord, step: Step): Promise<OperationRecord> {
  for (let current = first; ; ) {
    const next = await step(current);
    if (next === undefined) {
      return current;
    }
    const changed = await guarded(store.change(current, next.change, next.event));
    if (changed !== undefined) {
      return changed;
    }
    const found = await guarded(store.get(current.name));
    if (found === undefined) {
      throw notFound(current.name);
    }
    current = found;
  }
}

/**
 * Cancels an operation of which nothing was sent, durably, so that nothing will be. For any other that has not ended it is recorded
 * that somebody asked: what was sent cannot be recalled. Of an operation with children, every child is cancelled that can be.
 *
 * @throws Failure OPERATION_NOT_FOUND when it was deleted meanwhile, STORE_UNAVAILABLE
 */
export async function cancelOperation(store: Store, record: OperationRecord, actor: Actor): Promise<OperationRecord> {
  const children = await guarded(store.children(record.name));
  const ends = await Promise.all(
    children.map((child) => settle(store, child, async (current) => cancelled(current, actor))),
  );
  // The parent has sent something as soon as a child has.
  const unsent = ends.every(({ state }) => state === "CANCELLED");
  return settle(store, record, async (current) => cancelled(current, actor, unsent));
}

function cancelled(
  current: OperationRecord,
  { actor, identity, now }: Actor,
  unsent = true,
): Awaited<ReturnType<Step>> {
  if (ENDED.has(current.state)) {
    return undefined;
  }
  if (current.state === "ACCEPTED" && unsent) {
    const failure = new Failure("CANCELLED", "cancelled before anything was sent");
    return {
      change: {
        state: "CANCELLED",
        blocks: false,
        error: formatFailure(failure),
        endTime: now(),
        cancelRequested: true,
      },
      event: { event: "cancelled", actor, identity, detail: failure.message },
    };
  }
  return current.cancelRequested
    ? undefined
    : { change: { cancelRequested: true }, event: { event: "cancel requested", actor, identity } };
}

/**
 * Ends the doubt about an operation that is UNRESOLVED, and frees its target. The same verdict again changes nothing. One with children
 * follows them, and is not resolved itself.
 *
 * @throws Failure OPERATION_NOT_UNRESOLVED, OPERATION_NOT_FOUND when it was deleted meanwhile, STORE_UNAVAILABLE
 */
export function resolveOperation(
  store: Store,
  record: OperationRecord,
  { applied, note, actor, identity, now }: Resolution,
): Promise<OperationRecord> {
  const state = applied ? "SUCCEEDED" : "NOT_OBSERVED";
  return settle(store, record, async (current) => {
    if (current.state !== "UNRESOLVED") {
      await requireSameVerdict(store, current, state);
      return undefined;
    }
    const children = await guarded(store.children(current.name));
    if (children.length > 0) {
      refuseUnresolved(current, children);
      return undefined; // it follows its children
    }
    const error = applied ? undefined : formatFailure(notObserved(current, ", as an operator found out"));
    return {
      change: { state, blocks: false, error, endTime: now() },
      event: { event: RESOLVED, actor, identity, detail: note },
    };
  });
}

function refuseUnresolved({ name, state }: OperationRecord, children: readonly OperationRecord[]): void {
  const open = children.filter((child) => child.state === "UNRESOLVED").map((child) => child.name);
  if (open.length > 0) {
    throw new Failure(
      "OPERATION_NOT_UNRESOLVED",
      `${name} is ${state} because parts of it are: resolve each of those, ${open.join(", ")}`,
      {
        metadata: { operation: name, state },
        details: open.map((child) => resourceInfo(OPERATION_TYPE, child)),
      },
    );
  }
}

async function requireSameVerdict(
  store: Store,
  current: OperationRecord,
  state: OperationRecord["state"],
): Promise<void> {
  const resolved = (await guarded(store.audit(current.name))).some(({ event }) => event === RESOLVED);
  if (resolved && current.state === state) {
    return;
  }
  const why = resolved ? "an operator has resolved it already" : "only one that is UNRESOLVED can be resolved";
  throw new Failure("OPERATION_NOT_UNRESOLVED", `${current.name} is ${current.state}: ${why}`, {
    metadata: { operation: current.name, state: current.state },
    details: [resourceInfo(OPERATION_TYPE, current.name)],
  });
}

/**
 * Deletes an operation that has ended; a child of another one, when that has. What it leaves keeps its request_id from ever running again.
 *
 * @throws Failure OPERATION_NOT_FINISHED, OPERATION_NOT_FOUND when somebody was faster, STORE_UNAVAILABLE
 */
export async function deleteOperation(store: Store, record: OperationRecord): Promise<void> {
  if (record.parent !== undefined) {
    const parent = await guarded(store.get(record.parent));
    if (parent !== undefined) requireFinished(parent);
  }
  let current: OperationRecord | undefined = record;
  for (let attempt = 0; current !== undefined; attempt++) {
    for (const one of [current, ...(await guarded(store.children(current.name)))]) {
      requireFinished(one);
    }
    if (await guarded(store.remove(current))) {
      return;
    }
    if (attempt === MAX_ATTEMPTS) {
      throw notFinished(current, "it, or a part of it, keeps changing; try again later");
    }
    current = await guarded(store.get(record.name));
  }
  throw notFound(record.name);
}

function requireFinished(record: OperationRecord): void {
  if (record.state === "UNRESOLVED") {
    throw notFinished(record, "its target stays blocked until it is resolved (ResolveOperation)");
  }
  if (!ENDED.has(record.state) || record.blocks) {
    throw notFinished(record, "only what has ended can be deleted; WaitOperation waits for its end");
  }
}

const notFinished = ({ name, state }: OperationRecord, why: string): Failure =>
  new Failure("OPERATION_NOT_FINISHED", `${name} is ${state}: ${why}`, {
    metadata: { operation: name, state },
    details: [resourceInfo(OPERATION_TYPE, name)],
  });
