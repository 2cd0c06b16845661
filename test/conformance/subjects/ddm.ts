import { randomUUID } from "node:crypto";
import { InstanceService } from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { ddm } from "../../../src/targets/ddm/index.ts";
import { type DdmSimulator, startDdmSimulator } from "../../../src/targets/ddm/simulator.ts";
import type { Subject, Thing, World } from "../subject.ts";
import { huaweiPart, JOB_MS, NOT_AUTHENTICATED, newAccount } from "../vendor-world.ts";

/** A project with instances. */
interface Project extends World {
  /** Adds an instance; answers the request that restarts it. */
  make(status?: string): Thing["request"];
  readonly instances: DdmSimulator["world"];
}

const idOf = ({ request }: Thing): string => String(request.instanceId);

async function start(): Promise<Project> {
  const account = newAccount();
  const { server, world } = await startDdmSimulator({ account, restartMs: JOB_MS });
  const part = await huaweiPart(server, ({ method }) => method === "POST");
  const make: Project["make"] = (status = "RUNNING") => {
    const { id } = world.add({ id: `${randomUUID().replaceAll("-", "")}in09`, status });
    return { projectId: account.projectId, instanceId: id };
  };
  return {
    ...part,
    instances: world,
    make,
    fresh() {
      const request = make();
      const { projectId, instanceId = "" } = request;
      return { request, target: `projects/${projectId}/ddm/instances/${instanceId}`, answer: { instanceId } };
    },
    renew: () => {},
    applied: (thing) => world.restarts(idOf(thing)).length,
    hold: () => world.hold(),
    release: () => world.release(),
  };
}

/** Instances of DDM: RESTARTING shows that a restart was applied; that it was not, nothing shows. */
export const ddmSubject: Subject<Project> = {
  target: ddm,
  method: InstanceService.method.restartInstance,
  start,
  blocksUntil: "ended",
  shows: { applied: true, notApplied: false },
  lostAnswer: "ok",
  credentialsRefused: { reply: NOT_AUTHENTICATED, reason: "VENDOR_CREDENTIALS_REJECTED", remembered: true },
  unreachable: "VENDOR_UNREACHABLE",
  guards: [
    { what: "a FROZEN instance", reason: "TARGET_STATE_FORBIDS", request: ({ make }) => make("FROZEN") },
    { what: "one that is at it", reason: "OPERATION_IN_PROGRESS", request: ({ make }) => make("RESTARTING") },
    {
      what: "an instance that is not there",
      reason: "TARGET_NOT_FOUND",
      request: ({ make }) => ({ ...make(), instanceId: `${"0".repeat(32)}in09` }),
    },
  ],
  endings: [
    {
      what: "left in ERROR",
      reason: "VENDOR_JOB_FAILED",
      before: ({ instances }, thing) => instances.script(idOf(thing), { end: "ERROR" }),
    },
  ],
  ids: { project_id: (projectId) => ({ projectId }), instance_id: (instanceId) => ({ instanceId }) },
  unconfigured: [{ request: { projectId: "0".repeat(32) }, reason: "PROJECT_NOT_FOUND" }],
  otherwise: { type: "TYPE_HARD" },
};
