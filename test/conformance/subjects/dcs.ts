import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { InstanceService } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import { dcs } from "../../../src/targets/dcs/index.ts";
import { type InstanceSeed, type Instances, startSimulator } from "../../../src/targets/dcs/simulator.ts";
import type { Subject, Thing, World } from "../subject.ts";
import { huaweiPart, JOB_MS, NOT_AUTHENTICATED, newAccount } from "../vendor-world.ts";

/** A project with instances. */
interface Project extends World {
  /** Adds an instance; answers the request that is about it. */
  make(seed?: Omit<InstanceSeed, "instanceId">): Thing["request"];
  readonly instances: Instances;
}

const idOf = ({ request }: Thing): string => String(Array.isArray(request.instanceIds) ? request.instanceIds[0] : "");

/** @param asked what every request says. */
const starting = (asked: JsonObject) => async (): Promise<Project> => {
  const account = newAccount();
  const pace = { restartMs: JOB_MS, flushMs: JOB_MS, taskMs: JOB_MS };
  const simulator = await startSimulator({ account, instances: [], pace });
  const { instances } = simulator;
  const part = await huaweiPart(simulator, ({ method }) => method === "PUT");
  const make: Project["make"] = (seed = {}) => {
    const instanceId = randomUUID();
    instances.add({ ...seed, instanceId });
    return { projectId: account.projectId, instanceIds: [instanceId], ...asked };
  };
  return {
    ...part,
    instances,
    make,
    fresh() {
      const request = make();
      const [instanceId = ""] = Array.isArray(request.instanceIds) ? request.instanceIds : [];
      return {
        request,
        target: `projects/${account.projectId}/dcs/instances/${instanceId}`,
        answer: { results: [{ instanceId, result: "success" }] },
      };
    },
    renew: () => {},
    applied(thing) {
      const { restart, soft_restart, flush } = instances.get(idOf(thing))?.done ?? {
        restart: 0,
        soft_restart: 0,
        flush: 0,
      };
      return restart + soft_restart + flush;
    },
    hold: () => instances.hold(),
    release: () => instances.release(),
  };
};

const ACKNOWLEDGED = { acknowledgeDataLoss: true };

/** The restart of DCS instances: their status shows that it was applied; that it was not, nothing shows. */
export const dcsRestart: Subject<Project> = {
  target: dcs,
  method: InstanceService.method.restartInstances,
  start: starting({}),
  blocksUntil: "ended",
  shows: { applied: true, notApplied: false },
  lostAnswer: "ok",
  credentialsRefused: { reply: NOT_AUTHENTICATED, reason: "VENDOR_CREDENTIALS_REJECTED", remembered: true },
  unreachable: "VENDOR_UNREACHABLE",
  guards: [
    {
      what: "a single node",
      reason: "DATA_LOSS_NOT_ACKNOWLEDGED",
      request: ({ make }) => make({ cacheMode: "single", replicaCount: 1 }),
      unless: ACKNOWLEDGED,
    },
    {
      what: "an instance that writes no append-only file",
      reason: "DATA_LOSS_NOT_ACKNOWLEDGED",
      request: ({ make }) => make({ appendOnly: "no" }),
      unless: ACKNOWLEDGED,
    },
    {
      what: "an instance that is at it",
      reason: "OPERATION_IN_PROGRESS",
      request: ({ make }) => make({ status: "RESTARTING" }),
    },
    { what: "a FROZEN instance", reason: "TARGET_STATE_FORBIDS", request: ({ make }) => make({ status: "FROZEN" }) },
    {
      what: "one instance of two that is not there",
      reason: "TARGET_NOT_FOUND",
      request({ make }) {
        const { instanceIds, ...request } = make();
        return { ...request, instanceIds: [...(Array.isArray(instanceIds) ? instanceIds : []), randomUUID()] };
      },
    },
  ],
  endings: [
    {
      what: "left in ERROR",
      reason: "VENDOR_JOB_FAILED",
      after: ({ instances }, thing) => instances.endAs(idOf(thing), "ERROR"),
    },
  ],
  ids: { project_id: (projectId) => ({ projectId }), instance_ids: (instanceId) => ({ instanceIds: [instanceId] }) },
  unconfigured: [{ request: { projectId: "0".repeat(32) }, reason: "PROJECT_NOT_FOUND" }],
  otherwise: { action: "ACTION_SOFT_RESTART" },
};

/** The deletion of all of their data. */
export const dcsFlush: Subject<Project> = {
  ...dcsRestart,
  method: InstanceService.method.flushInstances,
  start: starting(ACKNOWLEDGED),
  guards: [
    {
      what: "any instance",
      reason: "DATA_LOSS_NOT_ACKNOWLEDGED",
      request: ({ make }) => ({ ...make(), acknowledgeDataLoss: false }),
      unless: ACKNOWLEDGED,
    },
    {
      what: "Redis 3.0",
      reason: "OPERATION_UNSUPPORTED_BY_TARGET",
      request: ({ make }) => make({ engineVersion: "3.0" }),
    },
    { what: "an instance in ERROR", reason: "TARGET_STATE_FORBIDS", request: ({ make }) => make({ status: "ERROR" }) },
  ],
  otherwise: { acknowledgeDataLoss: false },
};
