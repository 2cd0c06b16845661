import { EngineService } from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { ProjectService } from "../../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import { openProjects, patient } from "../../clouds/huawei/project.ts";
import { createProjectRoute } from "../../clouds/huawei/projects.ts";
import { LOOK_TURN_MS } from "../../clouds/tracking.ts";
import { route } from "../../core/route.ts";
import type { RunningTarget, Runtime, Target } from "../../core/target.ts";
import { createRetryAction } from "./action.ts";
import { createCseClient, VENDOR_OPERATIONS } from "./client.ts";
import { type HuaweicloudSettings, readHuaweicloud } from "./config.ts";
import { createEngineService } from "./service.ts";

/** ServiceComb engines of Huawei Cloud's Cloud Service Engine; the first of those that share projects, it tells of these too. */
export const cse: Target = {
  name: "cse",
  services: [EngineService, ProjectService],
  read(sections, reader) {
    const settings = readHuaweicloud(sections.huaweicloud, reader);
    return (runtime) => openCse(settings, runtime);
  },
  async simulate(folder, sections) {
    const { simulate } = await import("./simulator.ts");
    return simulate(folder, sections);
  },
};

/** Serves the engines of some projects. */
export function openCse({ projects, pollIntervalMs }: HuaweicloudSettings, runtime: Runtime): RunningTarget {
  const open = openProjects(projects, "cse", runtime);
  const clientOf = (projectId: string) => createCseClient(open.find(projectId));
  const lookingClientOf = (projectId: string) => createCseClient(patient(open.find(projectId), () => LOOK_TURN_MS));
  const retry = createRetryAction({ clientOf, lookingClientOf, pollIntervalMs, now: runtime.now });
  return {
    routes: [route(EngineService, createEngineService({ clientOf, retry, runtime })), createProjectRoute(projects)],
    actions: [retry],
    vendor: { system: "cse", names: projects.map(({ projectId }) => projectId), operations: VENDOR_OPERATIONS },
    async warmUp() {},
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}
