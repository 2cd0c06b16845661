import type { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Follower, OperationView } from "../../../core/operation.ts";
import type { OpenCluster } from "../cluster/cluster.ts";
import type { Change } from "../cluster/feed.ts";
import type { WorkloadObject } from "../workload/object.ts";
import { readEvidence } from "./evidence.ts";
import { evaluateApplied, lookFor, type ObserveContext } from "./observe.ts";

/** What is followed, and with what. */
export interface FollowContext extends ObserveContext {
  readonly cluster: Pick<OpenCluster, "client" | "clock" | "podProblems" | "watches">;
}

/** Bounds (ms) the read that makes sure of what a watch says. */
const READ_LIMIT_MS = 10_000;

/** How long (ms) nothing of a workload has to change until its pods are asked why. It doubles up to {@link MAX_QUIET_MS}. */
const QUIET_MS = 2_000;

const MAX_QUIET_MS = 60_000;

/** Why what is still asked for one of them ends. Nobody reads it. */
const ENDED = new Error("it is not followed any more");

/**
 * Follows a restart that was applied, by the watch that everybody shares who wants to know of workloads like its own: no request is made
 * for it alone, but where the object seems to be gone, or another one, and where its rollout does not get on: why, its pods say. A watch
 * can be behind, and tell of one that was there before.
 *
 * @returns ends it; undefined when what was recorded does not tell which states of the object are later than the restart.
 */
export function followRestart(
  context: FollowContext,
  operation: OperationView,
  follower: Follower<typeof EmptySchema>,
): (() => void) | undefined {
  const evidence = readEvidence(operation.evidence);
  const { uid, generation } = evidence ?? {};
  if (evidence === undefined || uid === undefined || generation === undefined) {
    return undefined;
  }
  const { kind, ref } = context;
  const ended = new AbortController();
  let quiet: NodeJS.Timeout | undefined;
  const tell = (object: WorkloadObject | undefined, problems?: string, quietMs = QUIET_MS): void => {
    clearTimeout(quiet);
    const subject = { kind, ref, now: context.cluster.clock.latest() };
    const observation = evaluateApplied(subject, evidence, object, problems);
    if (object !== undefined && observation.kind === "running" && !ended.signal.aborted) {
      const asked = setTimeout(async () => {
        const why = await context.cluster.podProblems.look(kind, ref, object, context.cluster.clock.latest(), QUIET_MS);
        if (why !== undefined && quiet === asked && !ended.signal.aborted) {
          tell(object, why, Math.min(2 * quietMs, MAX_QUIET_MS));
        }
      }, quietMs).unref();
      quiet = asked;
    }
    follower.seen(observation);
  };
  const makeSure = async (): Promise<void> => {
    try {
      const object = await lookFor(context, AbortSignal.any([ended.signal, AbortSignal.timeout(READ_LIMIT_MS)]));
      if (!ended.signal.aborted) tell(object);
    } catch {
      // Whoever looks by itself from now on meets the same, and says so.
      if (!ended.signal.aborted) stop(true);
    }
  };
  const put = (change: Change): void => {
    if (change.type === "failed") {
      stop(true);
    } else if (change.type === "gone" || change.object.metadata.uid !== uid) {
      void makeSure();
    } else if ((change.object.metadata.generation ?? 0) >= generation) {
      tell(change.object);
    }
  };
  const leave = context.cluster.watches.follow(context.ref, put);
  const stop = (lost: boolean): void => {
    ended.abort(ENDED);
    clearTimeout(quiet);
    leave();
    if (lost) follower.lost();
  };
  return () => stop(false);
}
