import type { ConsoleTarget } from "../target.ts";
import { describeInstance } from "./name.ts";
import { InstancePage, InstancesPage } from "./pages.tsx";
import { DcsInstances } from "./table.tsx";

/** Instances of Huawei Cloud DCS. */
export const dcs: ConsoleTarget = {
  OfProject: DcsInstances,
  pages: [
    { matches: (segments) => segments.length === 4 && describeInstance(segments) !== undefined, Show: InstancesPage },
    { matches: (segments) => segments.length === 5 && describeInstance(segments) !== undefined, Show: InstancePage },
  ],
};
