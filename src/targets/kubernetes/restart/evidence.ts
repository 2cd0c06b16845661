import type { JsonObject } from "@bufbuild/protobuf";
import type { Kind, Mechanism } from "../workload/kinds.ts";
import { type Known, restartedAt } from "../workload/known.ts";
import { subjectOf, type WorkloadObject, type WorkloadRef } from "../workload/object.ts";

/**
 * What an operation keeps of a restart, so that whoever looks later, in whichever process, can tell what became of it. What is not
 * known is undefined.
 */
export interface RestartEvidence {
  /** The value that the request puts in place. */
  readonly restartedAt: string;
  /** The value in place before, empty when there was none. */
  readonly baseline: string | undefined;
  /** The object before the request, and once it was applied the one that it was applied to. */
  readonly uid: string | undefined;
  /** The object's generation before the request. */
  readonly generationBefore: number | undefined;
  /** The object's generation once the request was applied. */
  readonly generation: number | undefined;
}

/**
 * What is recorded before a request leaves.
 *
 * @param known the object as it was last seen; without a uid it never was.
 */
export function plannedEvidence(
  mechanism: Mechanism,
  value: string,
  known: Pick<Known, "value"> & Partial<Pick<Known, "uid" | "generation">>,
): JsonObject {
  return {
    mechanism,
    restarted_at: value,
    ...(known.uid !== undefined && { baseline: known.value ?? "", uid: known.uid }),
    ...(known.generation !== undefined && { generation_before: known.generation }),
  };
}

/** What is recorded once the request was applied: it replaces what was recorded before it left. */
export function appliedEvidence(planned: JsonObject, { metadata }: WorkloadObject): JsonObject {
  return { ...planned, uid: metadata.uid, generation: metadata.generation ?? 0 };
}

/** Reads what was recorded. Undefined without a value, which every request that could leave has recorded. */
export function readEvidence(json: JsonObject): RestartEvidence | undefined {
  const { restarted_at: restartedAt, baseline, uid, generation, generation_before: generationBefore } = json;
  return typeof restartedAt !== "string"
    ? undefined
    : {
        restartedAt,
        baseline: typeof baseline === "string" ? baseline : undefined,
        uid: typeof uid === "string" ? uid : undefined,
        generationBefore: typeof generationBefore === "number" ? generationBefore : undefined,
        generation: typeof generation === "number" ? generation : undefined,
      };
}

/**
 * Why an object can show neither that a restart was applied nor that it was not. The latter is shown by an object that has not changed
 * since before, or by one whose generation moved once and not to our value: ours, and what took its place, would have moved it twice.
 * After more changes a value that is what it was can have been put back (`kubectl rollout undo`, GitOps).
 */
export function doubtOf(
  { kind, ref }: { readonly kind: Kind; readonly ref: WorkloadRef },
  evidence: RestartEvidence | undefined,
  object: WorkloadObject | undefined,
): string | undefined {
  if (evidence === undefined) {
    return "what was sent was not recorded";
  }
  const { restartedAt: sent, baseline, uid, generationBefore } = evidence;
  if (object === undefined) {
    return `${subjectOf(ref)} does not exist any more`;
  }
  const value = restartedAt(kind, object) ?? "";
  const replaced = uid !== undefined && object.metadata.uid !== uid;
  const moves = (object.metadata.generation ?? 0) - (generationBefore ?? 0);
  const moved = replaced || moves > 0;
  if (value === sent) {
    return moved ? undefined : "its value is in place, and the generation did not move";
  }
  if (replaced) {
    return `${subjectOf(ref)} was deleted and made anew`;
  }
  if (baseline === undefined || generationBefore === undefined) {
    return "what was in place before could not be read";
  }
  if (moves === 1) {
    return undefined;
  }
  if (value !== baseline) {
    return "another restart is in place";
  }
  return moved ? "the restart from before is in place, in an object that has changed since" : undefined;
}
