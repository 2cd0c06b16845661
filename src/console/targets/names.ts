import { decodeSegment } from "../router.ts";
import { describeDeployment } from "./arcgis/name.ts";
import { describeEngine } from "./cse/name.ts";
import { describeInstance } from "./dcs/name.ts";
import { describeDdmInstance } from "./ddm/name.ts";
import { describeWorkload } from "./kubernetes/name.ts";
import type { Describe, Described } from "./target.ts";

const ALL: readonly Describe[] = [
  describeWorkload,
  describeDeployment,
  describeEngine,
  describeInstance,
  describeDdmInstance,
];

/** What a resource name stands for; undefined for one that this page does not know. */
export function describeTarget(name: string): Described | undefined {
  const segments = name.split("/").flatMap((segment) => decodeSegment(segment) ?? []);
  return ALL.map((describe) => describe(segments)).find((found) => found !== undefined);
}

/** A resource name in short. */
export const shortNameOf = (name: string): string => describeTarget(name)?.short ?? name;
