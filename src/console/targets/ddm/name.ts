import { WHAT } from "../../words.ts";
import type { Describe } from "../target.ts";
import { restartIntent } from "./actions.ts";

/** Resource name of an instance. */
export const nameOf = (projectId: string, id: string): string =>
  `projects/${encodeURIComponent(projectId)}/ddm/instances/${encodeURIComponent(id)}`;

/** Instances: `projects/{project}/ddm/instances/{id}`. */
export const describeDdmInstance: Describe = ([projects, projectId, ddm, instances, instanceId, ...more]) => {
  if (
    projects !== "projects" ||
    ddm !== "ddm" ||
    instances !== "instances" ||
    !projectId ||
    !instanceId ||
    more.length > 0
  ) {
    return undefined;
  }
  return {
    short: `DDM instance ${instanceId}`,
    look: WHAT.lookHuawei,
    again: (action) => {
      const hard = /hard/i.test(action);
      const intent = restartIntent({ projectId, instanceId, name: instanceId }, hard);
      return { label: `${intent.verb} again…`, intent };
    },
  };
};
