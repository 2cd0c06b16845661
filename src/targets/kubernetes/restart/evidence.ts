import type { JsonObject } from "@bufbuild/protobuf";
import type { Mechanism } from "../workload/kinds.ts";
import type { Known } from "../workload/known.ts";
import type { WorkloadObject } from "../workload/object.ts";

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
  const { restarted_at: restartedAt, baseline, uid, generation_before: generationBefore } = json;
  return typeof restartedAt !== "string"
    ? undefined
    : {
        restartedAt,
        baseline: typeof baseline === "string" ? baseline : undefined,
        uid: typeof uid === "string" ? uid : undefined,
        generationBefore: typeof generationBefore === "number" ? generationBefore : undefined,
      };
}
