import { randomUUID } from "node:crypto";
import { EngineService } from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { cse } from "../../../src/targets/cse/index.ts";
import { type CseSimulator, type NewEngine, startCseSimulator } from "../../../src/targets/cse/simulator.ts";
import type { Subject, Thing, World } from "../subject.ts";
import { huaweiPart, JOB_MS, NOT_AUTHENTICATED, newAccount } from "../vendor-world.ts";

/** A project with engines. */
interface Project extends World {
  /** Adds an engine, whose latest job has failed unless it says otherwise; answers the request that retries that. */
  make(engine?: Omit<NewEngine, "id">): Thing["request"];
  readonly engines: CseSimulator["world"];
}

const idOf = ({ request }: Thing): string => String(request.engineId);

async function start(): Promise<Project> {
  const account = newAccount();
  const { server, world } = await startCseSimulator({ account, jobMs: JOB_MS });
  const part = await huaweiPart(server, ({ method }) => method === "PUT");
  const make: Project["make"] = (engine = {}) => {
    const { id } = world.add({ ...engine, id: randomUUID() });
    return { projectId: account.projectId, engineId: id };
  };
  return {
    ...part,
    engines: world,
    make,
    fresh() {
      const request = make();
      const { projectId, engineId = "" } = request;
      return { request, target: `projects/${projectId}/cse/engines/${engineId}`, answer: { id: engineId } };
    },
    renew: (thing) => world.fail(idOf(thing)),
    applied: (thing) => world.retries(idOf(thing)),
    hold: () => world.hold(),
    release: () => world.release(),
  };
}

/** Engines of CSE: the times of the job that is retried show whether it was. */
export const cseSubject: Subject<Project> = {
  target: cse,
  method: EngineService.method.retryEngine,
  start,
  blocksUntil: "ended",
  shows: { applied: true, notApplied: true },
  lostAnswer: "ok",
  credentialsRefused: { reply: NOT_AUTHENTICATED, reason: "VENDOR_CREDENTIALS_REJECTED", remembered: true },
  unreachable: "VENDOR_UNREACHABLE",
  guards: [
    {
      what: "an engine whose latest job has ended well",
      reason: "NOTHING_TO_RETRY",
      request: ({ make }) => make({ jobStatus: "Finished" }),
    },
    {
      what: "an engine that could not be deleted",
      reason: "DELETION_NOT_ACKNOWLEDGED",
      request: ({ make }) => make({ jobType: "Delete" }),
      unless: { acknowledgeDeletion: true },
    },
    {
      what: "an engine whose latest job runs",
      reason: "OPERATION_IN_PROGRESS",
      request: ({ make }) => make({ jobStatus: "Executing" }),
    },
    {
      what: "an engine that is not there",
      reason: "TARGET_NOT_FOUND",
      request: ({ make }) => ({ ...make(), engineId: randomUUID() }),
    },
  ],
  endings: (["Error", "Timeout"] as const).map((end) => ({
    what: `the job ends as ${end}`,
    reason: "VENDOR_JOB_FAILED",
    before: ({ engines }, thing) => engines.script(idOf(thing), { end }),
  })),
  ids: {
    project_id: (projectId) => ({ projectId }),
    engine_id: (engineId) => ({ engineId }),
    enterprise_project_id: (enterpriseProjectId) => ({ enterpriseProjectId }),
  },
  unconfigured: [{ request: { projectId: "0".repeat(32) }, reason: "PROJECT_NOT_FOUND" }],
  otherwise: { acknowledgeDeletion: true },
};
