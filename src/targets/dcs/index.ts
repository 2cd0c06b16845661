import { InstanceService } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import type { HuaweicloudSettings } from "../../clouds/huawei/config.ts";
import { openProjects } from "../../clouds/huawei/project.ts";
import { route } from "../../core/route.ts";
import type { RunningTarget, Runtime, Target } from "../../core/target.ts";
import { createFlushAction, createRestartAction } from "./action.ts";
import { VENDOR_OPERATIONS } from "./client.ts";
import { readDcs } from "./config.ts";
import { createInstanceService } from "./service.ts";

/** Instances of Huawei Cloud's Distributed Cache Service: restart, soft restart, flush. */
export const dcs: Target = {
  name: "dcs",
  services: [InstanceService],
  read(sections, reader) {
    const settings = readDcs(sections, reader);
    return (runtime) => openDcs(settings, runtime);
  },
  async simulate(folder, sections) {
    const { simulate } = await import("./simulator.ts");
    return simulate(folder, sections);
  },
};

/** Serves the instances of some projects. */
export function openDcs({ projects: settings, pollIntervalMs }: HuaweicloudSettings, runtime: Runtime): RunningTarget {
  const projects = openProjects(settings, "dcs", runtime);
  const restart = createRestartAction({ projects, pollIntervalMs, now: runtime.now });
  const flush = createFlushAction({ projects, pollIntervalMs, now: runtime.now });
  return {
    routes: [route(InstanceService, createInstanceService({ projects, restart, flush, runtime }))],
    actions: [restart, flush],
    vendor: { system: "dcs", names: settings.map(({ projectId }) => projectId), operations: VENDOR_OPERATIONS },
    async warmUp() {},
    [Symbol.asyncDispose]: () => projects[Symbol.asyncDispose](),
  };
}
