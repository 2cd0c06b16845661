import { startDdmSimulator } from "../../../src/targets/ddm/simulator.ts";
import type { StartSystem } from "../system.ts";
import { miscountOf, openCloud } from "./cloud.ts";
import { ENV, PROJECT_ID, REPLIES, withService } from "./huawei.ts";

const PREFIX = `projects/${PROJECT_ID}/ddm/instances/`;
const RESTART_MS = 300;
const SHARED = 6;

/** Instances: a job shows a restart to whom it was named, the status shows it for a moment only. */
export const startDdm: StartSystem = async ({ random, calls }) => {
  const { server, world, ...simulator } = await startDdmSimulator({ restartMs: RESTART_MS });
  const ids = Array.from({ length: calls + SHARED }, (_, index) => `${index.toString(16).padStart(32, "0")}in09`);
  ids.forEach((id, index) => {
    world.add({ id });
    if (index % 4 === 1) world.script(id, { answer: "empty" });
    else if (index % 4 === 2) world.script(id, { jobReadable: false });
  });
  const targets = ids.map((id) => `${PREFIX}${id}`);
  const cloud = openCloud({
    random,
    server,
    replies: REPLIES,
    changes: ({ method }) => method === "POST",
    namesIn: (body) => {
      if (typeof body.jobId === "string") return [body.jobId];
      return Object.keys(body).length === 0 ? [""] : [];
    },
  });
  const applied = (target: string): number => world.restarts(target.slice(PREFIX.length)).length;
  return Object.assign(cloud, {
    name: "ddm",
    targets,
    once: targets.slice(0, calls).map((target) => [target]),
    shared: targets.slice(calls),
    env: ENV,
    canTell: () => false,
    namesAll: false,
    configure: (sections: object) => withService({ ...sections }, "ddm", server.url),
    ask: ([target = ""]: readonly string[]) => ({
      procedure: "restart.ddm.v1.InstanceService/RestartInstance",
      body: { projectId: PROJECT_ID, instanceId: target.slice(PREFIX.length), type: "TYPE_HARD" },
    }),
    applied,
    handles: () => cloud.names,
    miscounted: () => miscountOf({ name: "ddm", targets, applied }, cloud.names.length),
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  });
};
