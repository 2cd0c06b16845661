import { WHAT } from "../../words.ts";
import type { Describe } from "../target.ts";
import { retryIntent } from "./actions.ts";

/** Resource name of an engine. */
export const nameOf = (projectId: string, id: string): string =>
  `projects/${encodeURIComponent(projectId)}/cse/engines/${encodeURIComponent(id)}`;

/** Engines: `projects/{project}/cse/engines/{id}`. */
export const describeEngine: Describe = ([projects, projectId, cse, engines, engineId, ...more]) => {
  if (projects !== "projects" || cse !== "cse" || engines !== "engines" || !projectId || !engineId || more.length > 0) {
    return undefined;
  }
  return {
    short: `engine ${engineId}`,
    look: WHAT.lookHuawei,
    again: () => ({ label: "Retry again…", intent: retryIntent({ projectId, engineId, name: engineId }) }),
  };
};
