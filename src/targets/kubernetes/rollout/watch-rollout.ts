import { create, equals } from "@bufbuild/protobuf";
import { type Rollout, Rollout_State, RolloutSchema } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { Failure, preconditionFailure, resourceInfo } from "../../../core/errors.ts";
import type { OpenCluster } from "../cluster/cluster.ts";
import type { Change } from "../cluster/feed.ts";
import { readWorkload } from "../cluster/read.ts";
import type { Kind } from "../workload/kinds.ts";
import { restartedAt } from "../workload/known.ts";
import { objectPath, subjectOf, targetName, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";
import { NoRolloutError, observedGeneration } from "../workload/status.ts";
import { inARow } from "../workload/words.ts";

/** Bounds (ms) the read of an object. */
const READ_TIMEOUT_MS = 10_000;

/** How old (ms) a look at a rollout's pods may be that a watch shows: they are looked at again as long as the rollout is under way. */
const LOOK_AGAIN_MS = 2_000;

/**
 * How far a workload's rollout has come, when the API server's clock shows `now`. Throws where kubectl does not judge it either.
 *
 * @param problems what its pods say of why it hangs.
 */
export function rolloutOf(
  kind: Kind,
  ref: WorkloadRef,
  object: WorkloadObject,
  now: number,
  problems: string | undefined,
): Rollout {
  try {
    const status = kind.status(object, now);
    return create(RolloutSchema, {
      ...ref,
      ...status,
      detail: inARow(status.detail, problems),
      restartedAt: restartedAt(kind, object) ?? "",
      generation: BigInt(object.metadata.generation ?? 0),
      observedGeneration: BigInt(observedGeneration(object)),
    });
  } catch (error) {
    if (error instanceof NoRolloutError) {
      const onDelete = object.spec?.updateStrategy?.type === "OnDelete";
      throw failed(onDelete ? "UPDATE_STRATEGY_ON_DELETE" : "OPERATION_UNSUPPORTED_BY_TARGET", ref, error.message);
    }
    throw error;
  }
}

/** For so long (ms) a rollout stands as it was judged, while its object does. */
const SHARED_MS = 1_000;

const sharedRollouts = new WeakMap<
  WorkloadObject,
  { readonly now: number; readonly rollout: Rollout; readonly problems: string | undefined }
>();

/** {@link rolloutOf}, made once for all who watch an object: thousands do, and then each has the one message, which is written once. */
function sharedRollout(...[kind, ref, object, now, problems]: Parameters<typeof rolloutOf>): Rollout {
  const known = sharedRollouts.get(object);
  if (known !== undefined && known.problems === problems && Math.abs(now - known.now) < SHARED_MS) {
    return known.rollout;
  }
  const rollout = rolloutOf(kind, ref, object, now, problems);
  sharedRollouts.set(object, { now, rollout, problems });
  return rollout;
}

/** Reads a workload's rollout. */
export async function getRollout(
  cluster: OpenCluster,
  kind: Kind,
  ref: WorkloadRef,
  signal: AbortSignal,
): Promise<Rollout> {
  const object = await readWorkload(cluster, ref, signal, READ_TIMEOUT_MS);
  const now = cluster.clock.latest();
  return rolloutOf(kind, ref, object, now, await cluster.podProblems.look(kind, ref, object, now));
}

/**
 * A workload's rollout now and after each change, until it is complete. It is judged for one restart, by its value, and for one
 * object, by its uid: a generation moves for other reasons too.
 *
 * @param wanted the restart; default the one in place.
 */
export async function* watchRollout(
  cluster: OpenCluster,
  kind: Kind,
  ref: WorkloadRef,
  wanted: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<Rollout> {
  // Subscribed before it is read, so that no change falls between.
  const subscription = cluster.watches.subscribe(ref, signal);
  const read = () => cluster.reads(objectPath(ref), () => readShared(cluster, ref), signal);
  try {
    let object = shared(await read(), subscription.last());
    const restart = wanted ?? restartedAt(kind, object) ?? "";
    let last: Rollout | undefined;
    for (;;) {
      const now = cluster.clock.latest();
      const problems = await cluster.podProblems.look(kind, ref, object, now, LOOK_AGAIN_MS);
      signal.throwIfAborted();
      const rollout = sharedRollout(kind, ref, object, now, problems);
      if (rollout.restartedAt !== restart) {
        throw superseded(ref, restart, rollout.restartedAt);
      }
      if (last === undefined || (last !== rollout && !equals(RolloutSchema, last, rollout))) {
        yield rollout;
        last = rollout;
      }
      if (rollout.state === Rollout_State.COMPLETE) {
        return;
      }
      if (rollout.state === Rollout_State.STALLED) {
        throw failed("PROGRESS_DEADLINE_EXCEEDED", ref, inARow(rollout.message, rollout.detail), countsOf(rollout));
      }
      // Nothing of the workload itself changes when one of its pods begins to crash.
      object = await nextObject(object, problems === undefined ? undefined : LOOK_AGAIN_MS);
    }
  } finally {
    subscription.close();
  }

  /** @param withinMs how long it waits for a change. Default: for ever. */
  async function nextObject(current: WorkloadObject, withinMs: number | undefined): Promise<WorkloadObject> {
    const until = withinMs === undefined ? undefined : performance.now() + withinMs;
    let change: Change | undefined;
    do {
      change = await subscription.next(until === undefined ? undefined : until - performance.now());
      if (change === undefined) {
        return current;
      }
      if (change.type === "failed") {
        throw change.failure;
      }
    } while (!isNews(change, current));
    // It may have been made anew at once, which is another failure than that it does not exist.
    const next = change.type === "gone" ? await read() : change.object;
    if (next.metadata.uid !== current.metadata.uid) {
      throw replaced(ref, current, next);
    }
    return next;
  }
}

/** The object that all watchers have, where it is what was read: each would keep one of its own. */
const shared = (read: WorkloadObject, watched: WorkloadObject | undefined): WorkloadObject =>
  watched?.metadata.uid === read.metadata.uid && watched.metadata.resourceVersion === read.metadata.resourceVersion
    ? watched
    : read;

/** A read that serves everybody who waits for it, so that no one caller may end it. */
const readShared = (cluster: OpenCluster, ref: WorkloadRef): Promise<WorkloadObject> =>
  readWorkload(cluster, ref, AbortSignal.timeout(READ_TIMEOUT_MS), READ_TIMEOUT_MS);

/** What a watch brings may be older than what was read. */
const isNews = (change: Exclude<Change, { type: "failed" }>, { metadata }: WorkloadObject): boolean =>
  isNewer(
    change.type === "gone" ? change.resourceVersion : change.object.metadata.resourceVersion,
    metadata.resourceVersion,
  );

/** Resource versions are whole numbers that grow (KEP-5504); one that is not is taken as news. */
function isNewer(version: string, than: string): boolean {
  const isNumber = /^\d+$/;
  return !(isNumber.test(version) && isNumber.test(than)) || BigInt(version) > BigInt(than);
}

function replaced(ref: WorkloadRef, before: WorkloadObject, after: WorkloadObject): Failure {
  return new Failure("OBJECT_REPLACED", `${subjectOf(ref)} was deleted and made anew while it was watched`, {
    metadata: { cluster: ref.cluster, old_uid: before.metadata.uid, new_uid: after.metadata.uid },
    details: [resourceInfo("kubernetes.workload", targetName(ref))],
  });
}

function superseded(ref: WorkloadRef, wanted: string, found: string): Failure {
  const what = found === "" ? "was taken back" : "was superseded by another one";
  return new Failure("ROLLOUT_SUPERSEDED", `the watched restart of ${subjectOf(ref)} ${what}`, {
    metadata: { cluster: ref.cluster, restarted_at: wanted, superseded_by: found },
    details: [resourceInfo("kubernetes.workload", targetName(ref))],
  });
}

const countsOf = ({ desired, updated, ready, available }: Rollout): Record<string, string> => ({
  desired: String(desired),
  updated: String(updated),
  ready: String(ready),
  available: String(available),
});

function failed(
  reason: "PROGRESS_DEADLINE_EXCEEDED" | "UPDATE_STRATEGY_ON_DELETE" | "OPERATION_UNSUPPORTED_BY_TARGET",
  ref: WorkloadRef,
  description: string,
  metadata: Record<string, string> = {},
): Failure {
  return new Failure(reason, description, {
    metadata: { cluster: ref.cluster, ...metadata },
    details: [preconditionFailure([{ type: reason, subject: subjectOf(ref), description }])],
  });
}
