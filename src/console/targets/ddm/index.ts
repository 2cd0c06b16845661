import type { ConsoleTarget } from "../target.ts";
import { describeDdmInstance } from "./name.ts";
import { DdmInstancePage, DdmInstances } from "./pages.tsx";

/** Instances of Huawei Cloud DDM. */
export const ddm: ConsoleTarget = {
  OfProject: DdmInstances,
  pages: [{ matches: (segments) => describeDdmInstance(segments) !== undefined, Show: DdmInstancePage }],
};
