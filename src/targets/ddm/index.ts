import { InstanceService } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { openProjects, patient } from "../../clouds/huawei/project.ts";
import { LOOK_TURN_MS } from "../../clouds/tracking.ts";
import { route } from "../../core/route.ts";
import type { RunningTarget, Runtime, Target } from "../../core/target.ts";
import { createRestartAction } from "./action.ts";
import { createDdmClient, VENDOR_OPERATIONS } from "./client.ts";
import { type HuaweicloudSettings, readHuaweicloud } from "./config.ts";
import { createInstanceService } from "./service.ts";

/** Instances of Huawei Cloud's Distributed Database Middleware. */
export const ddm: Target = {
  name: "ddm",
  services: [InstanceService],
  read(sections, reader) {
    const settings = readHuaweicloud(sections.huaweicloud, reader);
    return (runtime) => openDdm(settings, runtime);
  },
  async simulate(folder, sections) {
    const { simulate } = await import("./simulator.ts");
    return simulate(folder, sections);
  },
};

/** Serves the instances of some projects. */
export function openDdm({ projects, pollIntervalMs }: HuaweicloudSettings, runtime: Runtime): RunningTarget {
  const open = openProjects(projects, "ddm", runtime);
  const clientOf = (projectId: string) => createDdmClient(open.find(projectId));
  const lookingClientOf = (projectId: string) => createDdmClient(patient(open.find(projectId), () => LOOK_TURN_MS));
  const restart = createRestartAction({ clientOf, lookingClientOf, pollIntervalMs, now: runtime.now });
  return {
    routes: [route(InstanceService, createInstanceService({ clientOf, restart, runtime }))],
    actions: [restart],
    vendor: { system: "ddm", names: projects.map(({ projectId }) => projectId), operations: VENDOR_OPERATIONS },
    async warmUp() {},
    [Symbol.asyncDispose]: () => open[Symbol.asyncDispose](),
  };
}
