import type { ConsoleTarget } from "../target.ts";
import { Workloads } from "./list.tsx";
import { readRef } from "./name.ts";
import { Clusters } from "./overview.tsx";
import { Workload } from "./page.tsx";

/** Workloads of Kubernetes clusters. */
export const kubernetes: ConsoleTarget = {
  Overview: { system: "kubernetes", Show: Clusters },
  pages: [
    { matches: ([clusters, , ...more]) => clusters === "clusters" && more.length === 0, Show: Workloads },
    { matches: (segments) => readRef(segments) !== undefined, Show: Workload },
  ],
};
