import { WHAT } from "../../words.ts";
import type { Describe } from "../target.ts";
import { instancesIntent } from "./actions.ts";

/** Resource name of an instance. */
export const nameOf = (projectId: string, id: string): string =>
  `projects/${encodeURIComponent(projectId)}/dcs/instances/${encodeURIComponent(id)}`;

/** Instances, `projects/{project}/dcs/instances/{id}`, and several at once, without an id. */
export const describeInstance: Describe = ([projects, projectId, dcs, instances, id, ...more]) => {
  if (projects !== "projects" || dcs !== "dcs" || instances !== "instances" || !projectId || more.length > 0) {
    return undefined;
  }
  if (id === undefined) return { short: "DCS instances", look: WHAT.lookHuawei };
  return {
    short: `DCS instance ${id}`,
    look: WHAT.lookHuawei,
    again(action) {
      if (action !== "restart" && action !== "soft_restart" && action !== "flush") return undefined;
      const intent = instancesIntent({ projectId, instances: [{ id, name: id }] }, action);
      return { label: `${intent.verb} again…`, intent };
    },
  };
};
