import { randomInt } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { type RestartRequestSchema, WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import type { Action, PrepareContext, SendContext } from "../../core/operation.ts";
import { type Clusters, type Found, find, findCluster, findRestartable } from "./cluster/find.ts";
import { followRestart } from "./restart/follow.ts";
import { observeRestart } from "./restart/observe.ts";
import {
  ANSWER_GRACE_MS,
  check,
  type Preflight,
  type RestartContext,
  restart,
  WRITE_LIMIT_MS,
} from "./restart/restart.ts";
import { targetName, toRef, type WorkloadRef } from "./workload/object.ts";

/** What the action works with. */
export interface RestartActionOptions {
  readonly clusters: Clusters;
  /** `fieldManager` of every write. */
  readonly fieldManager: string;
  /** The wall clock. */
  readonly now: () => Date;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
}

/** What is sent once a restart was accepted. */
export interface RestartPlan extends Found {
  readonly preflight: Preflight;
}

/** What Restart does. */
export type RestartAction = Action<typeof RestartRequestSchema, typeof EmptySchema, RestartPlan>;

/** How long (ms) after its permit a request may still leave. */
const SEND_WINDOW_MS = 5_000;

/** What could not be watched is not tried again for so long (ms). */
const UNWATCHABLE_MS = 60_000;

/** How long (ms) a process or a network may pause between two of its steps and go on as if nothing had happened. */
const PAUSE_MS = 30_000;

/**
 * How long (ms) a restart may still show after its outcome became unknown: its request left within the window, the API server, which
 * bounds it, gave up on it after that limit, the answer had its grace, and all of them paused.
 */
const SETTLE_MS = SEND_WINDOW_MS + WRITE_LIMIT_MS + ANSWER_GRACE_MS + PAUSE_MS;

/** How long (ms) the end of a rollout is waited for, whether or not its cluster can be looked at meanwhile: a canary may wait for people. */
const ENDS_WITHIN_MS = 24 * 3_600_000;

/** How soon (ms) a rollout is looked at again where looking fails for the first time. */
const LOOK_MS = 250;

/** The restart of a workload, as operations know it. */
export function createRestartAction(options: RestartActionOptions): RestartAction {
  const { clusters, fieldManager, now, monotonic } = options;
  /** Until when nobody tries to watch a collection, by its name: to be denied costs as many requests as a look. */
  const unwatchable = new Map<string, number>();
  const contextOf = (
    found: Found,
    ref: WorkloadRef,
    context: Omit<PrepareContext, "principal">,
    permit: SendContext["permit"],
  ): RestartContext => ({
    ...found,
    ...context,
    ref,
    fieldManager,
    now,
    digits: () => String(randomInt(1_000_000)).padStart(6, "0"),
    permit,
  });
  return {
    method: WorkloadService.method.restart,
    blocksUntil: "applied",
    permitsAtOnce: true,
    settleMs: SETTLE_MS,
    endsWithinMs: ENDS_WITHIN_MS,
    lookMs: LOOK_MS,
    targetOf: (request) => targetName(toRef(request)),
    verbs: ["restart"],
    actionOf: () => "restart",

    async prepare(request, context) {
      const ref = toRef(request);
      const found = await find(clusters, ref, context);
      context.call.impersonatedUser = found.cluster.client.as?.user;
      const restartContext = contextOf(found, ref, context, async () => () => {});
      const preflight = await check(restartContext);
      if (context.validateOnly) {
        await restart(restartContext, preflight);
      }
      return { ...found, preflight };
    },

    async send(request, { preflight, cluster, kind }, context) {
      const found = { cluster, kind };
      const restartContext = contextOf(found, toRef(request), { ...context, validateOnly: false }, context.permit);
      const { value, evidence } = await restart(restartContext, preflight);
      return { response: create(EmptySchema), vendorJob: value, evidence };
    },

    async observe(operation, request, signal) {
      const ref = toRef(request);
      const kind = findRestartable(ref);
      return observeRestart({ cluster: findCluster(clusters, ref.cluster), kind, ref }, operation, signal);
    },

    follow(operation, request, follower) {
      const ref = toRef(request);
      const kind = findRestartable(ref);
      const collection = targetName({ ...ref, name: "" });
      if (monotonic() < (unwatchable.get(collection) ?? 0)) {
        return undefined;
      }
      const lost = (): void => {
        unwatchable.set(collection, monotonic() + UNWATCHABLE_MS);
        follower.lost();
      };
      const context = { cluster: findCluster(clusters, ref.cluster), kind, ref };
      return followRestart(context, operation, { seen: follower.seen, lost });
    },
  };
}
