import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import type { Rollout } from "../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { metadataOf, operationService, operations, stateOf } from "../api/operations.ts";
import type { Step } from "../api/stream.ts";
import { describeTarget } from "../targets/names.ts";
import type { RolloutSource } from "../targets/target.ts";

/** Whom the follower tells. */
export interface Told {
  /** The newest operation that was told. */
  current(): Operation | undefined;
  operation(operation: Operation): void;
  rollout(rollout: Rollout): void;
}

/** So often (ms) it is read where no stream can be had. */
const EVERY_MS = 2000;

/** So often (ms) the verdict is asked for when the rollout has ended. */
const VERDICT_EVERY_MS = 1000;

/** So often (ms) it is looked whether somebody has decided. */
const PERSON_EVERY_MS = 5000;

/**
 * The ways to follow an operation. While a restart of a workload runs, its rollout is watched: that shows each step, of which the
 * operation skips some. How it ended the operation alone tells.
 */
export function followOperation(name: string, told: Told): () => Step | undefined {
  let rolloutOver = false;
  const read = async (signal: AbortSignal): Promise<void> =>
    told.operation(await operations.getOperation({ name }, { signal }));

  const watchOperation = (): Step => ({
    everyMs: EVERY_MS,
    read,
    wanted: () => !told.current()?.done && rolloutOf(told.current()) === undefined,
    async *stream(signal) {
      for await (const operation of operationService.watchOperation({ name }, { signal })) {
        told.operation(operation);
        yield;
      }
    },
  });

  const watchRollout = (source: RolloutSource, restartedAt: string): Step => ({
    everyMs: EVERY_MS,
    wanted: () => !told.current()?.done && !rolloutOver,
    async read(signal) {
      const [rollout] = await Promise.all([source.read(signal), read(signal)]);
      told.rollout(rollout);
    },
    async *stream(signal) {
      for await (const rollout of source.watch(restartedAt, signal)) {
        told.rollout(rollout);
        yield;
      }
      rolloutOver = true;
      yield;
    },
    ended() {
      rolloutOver = true;
      return true;
    },
  });

  const askForVerdict = (): Step => ({ everyMs: VERDICT_EVERY_MS, read, wanted: () => !told.current()?.done });

  /** Nothing leads out of UNRESOLVED but a person's word, which may be given elsewhere. */
  const waitForPerson = (): Step => ({ everyMs: PERSON_EVERY_MS, read, wanted: () => isUnresolved(told.current()) });

  return () => {
    const operation = told.current();
    if (isUnresolved(operation)) return waitForPerson();
    if (operation?.done) return undefined;
    const source = rolloutOf(operation);
    if (source === undefined) return watchOperation();
    const { vendorJob = "" } = (operation && metadataOf(operation)) ?? {};
    return rolloutOver ? askForVerdict() : watchRollout(source, vendorJob);
  };
}

const isUnresolved = (operation: Operation | undefined): boolean =>
  operation !== undefined && stateOf(metadataOf(operation)) === "UNRESOLVED";

/** The workload that an operation is restarting now; undefined for every other operation, and in every other state. */
function rolloutOf(operation: Operation | undefined): RolloutSource | undefined {
  const metadata = operation && metadataOf(operation);
  return metadata !== undefined && stateOf(metadata) === "SENT" ? describeTarget(metadata.target)?.rollout : undefined;
}
