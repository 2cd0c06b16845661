import { startCseSimulator } from "../../../src/targets/cse/simulator.ts";
import type { StartSystem } from "../system.ts";
import { miscountOf, openCloud } from "./cloud.ts";
import { ENV, PROJECT_ID, REPLIES, withService } from "./huawei.ts";

const PREFIX = `projects/${PROJECT_ID}/cse/engines/`;
const JOB_MS = 300;
const SHARED = 2;

/** Failed engines: the times of a job show whether it was run again. */
export const startCse: StartSystem = async ({ random, calls }) => {
  const { server, world, ...simulator } = await startCseSimulator({ jobMs: JOB_MS });
  const ids = Array.from({ length: calls + SHARED }, (_, index) => idOf(index));
  ids.forEach((id, index) => {
    world.add({ id, jobType: deletes(id) ? "Delete" : "Upgrade" });
    // What everybody retries fails again: it can be retried again.
    if (index >= calls) world.script(id, { end: "Error" });
    else if (index % 8 === 1) world.script(id, { newJob: true });
    else if (index % 8 === 2) world.script(id, { end: "Timeout" });
  });
  const targets = ids.map((id) => `${PREFIX}${id}`);
  const cloud = openCloud({
    random,
    server,
    replies: REPLIES,
    changes: ({ method }) => method === "PUT",
    namesIn: ({ jobId }) => (typeof jobId === "number" ? [String(jobId)] : []),
  });
  const applied = (target: string): number => world.retries(target.slice(PREFIX.length));
  return Object.assign(cloud, {
    name: "cse",
    targets,
    once: targets.slice(0, calls).map((target) => [target]),
    shared: targets.slice(calls),
    env: ENV,
    canTell: () => true,
    namesAll: true,
    configure: (sections: object) => withService({ ...sections }, "cse", server.url),
    ask: ([target = ""]: readonly string[]) => {
      const engineId = target.slice(PREFIX.length);
      return {
        procedure: "restart.cse.v1.EngineService/RetryEngine",
        body: { projectId: PROJECT_ID, engineId, acknowledgeDeletion: deletes(engineId) },
      };
    },
    applied,
    handles: () => undefined, // the same job is run again
    miscounted: () => miscountOf({ name: "cse", targets, applied }, cloud.names.length),
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  });
};

const idOf = (index: number): string => `4a1bc63d-0f4e-4c0b-9a3e-${index.toString(16).padStart(12, "0")}`;

/** Some are to be deleted. */
const deletes = (id: string): boolean => id.endsWith("3");
