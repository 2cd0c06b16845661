import { jsonReply, type VendorReply, type VendorRequest } from "../../../clouds/simulator/exchange.ts";
import { DDM_FAILURES, refused } from "./replies.ts";
import type { DdmWorld, SimulatedInstance, SimulatedJob } from "./world.ts";

/** Most instances of one answer (contracts: huaweicloud §B, lists). */
const MAX_LIMIT = 128;

const DEFAULT_LIMIT = 10;

/** Answers what the service behind the gateway answers; undefined where it has no such path. */
export function answer(world: DdmWorld, projectId: string, request: VendorRequest): VendorReply | undefined {
  const [version, project, what, id, action, ...more] = request.path.split("/").slice(1);
  if (more.length > 0) {
    return undefined;
  }
  if (project !== projectId) {
    return failure("notAuthorised");
  }
  switch (
    `${request.method} ${version} ${what}${id === undefined ? "" : "/ID"}${action === undefined ? "" : `/${action}`}`
  ) {
    case "GET v1 instances":
      return list(world, request, projectId);
    case "GET v1 instances/ID":
      return withInstance(world, id, (instance) => jsonReply(200, toJson(instance, projectId)));
    case "POST v1 instances/ID/action":
      return world.servesV1 ? withInstance(world, id, (instance) => restart(world, instance, request)) : undefined;
    case "POST v3 instances/ID/restart":
      return withInstance(world, id, (instance) => restartV3(world, instance, request));
    case "GET v3 jobs/ID":
      return job(world, id ?? "");
    default:
      return undefined;
  }
}

const failure = (name: keyof typeof DDM_FAILURES): VendorReply => {
  const { status, code, message } = DDM_FAILURES[name];
  return refused(status, code, message);
};

function withInstance(
  world: DdmWorld,
  id: string | undefined,
  then: (instance: SimulatedInstance) => VendorReply,
): VendorReply {
  const instance = world.instance(id ?? "");
  return instance === undefined ? failure("notFound") : then(instance);
}

function list(world: DdmWorld, { query }: VendorRequest, projectId: string): VendorReply {
  const offset = Number(query.get("offset") ?? 0);
  const limit = Number(query.get("limit") ?? DEFAULT_LIMIT);
  if (!Number.isInteger(offset) || offset < 0 || !Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    return failure("parameter");
  }
  const all = world.instances();
  const page = all.slice(offset, offset + limit);
  return jsonReply(200, {
    instances: page.map((instance) => toJson(instance, projectId)),
    instance_num: page.length,
    page_no: Math.floor(offset / limit) + 1,
    page_size: limit,
    total_record: all.length,
    total_page: Math.ceil(all.length / limit),
  });
}

function restart(world: DdmWorld, instance: SimulatedInstance, request: VendorRequest): VendorReply {
  const type = restartType(request);
  if (type === undefined) {
    return failure("parameter");
  }
  const refusal = refusalOf(instance);
  if (refusal !== undefined) return refusal;
  const run = world.restart(instance.id, type);
  if (run === undefined) {
    return failure("operated");
  }
  return world.scriptOf(instance.id).answer === "empty"
    ? jsonReply(200, {})
    : jsonReply(200, { instanceId: instance.id, instanceName: instance.name, jobId: run.id });
}

/** Without a body, and without a type (contracts: huaweicloud §C.2). */
function restartV3(world: DdmWorld, instance: SimulatedInstance, { body }: VendorRequest): VendorReply {
  if (body !== "") return failure("parameter");
  const refusal = refusalOf(instance);
  if (refusal !== undefined) return refusal;
  const run = world.restart(instance.id, "v3");
  return run === undefined ? failure("operated") : jsonReply(202, { job_id: run.id });
}

/** Why an instance does not take a restart. */
function refusalOf({ status }: SimulatedInstance): VendorReply | undefined {
  if (status === "RUNNING") return undefined;
  return failure(status === "RESTARTING" ? "busy" : "statusForbids");
}

/** The type that a well-formed request asks for: both levels of the body may be absent. */
function restartType({ headers, body }: VendorRequest): string | undefined {
  if (!/^application\/json(?:;\s*charset=utf-8)?$/i.test(headers["content-type"] ?? "")) {
    return undefined;
  }
  const text = body.replaceAll(/\s/g, "");
  return text === "{}" || text === '{"restart":{}}'
    ? "soft"
    : /^\{"restart":\{"type":"(soft|hard)"\}\}$/.exec(text)?.[1];
}

function job(world: DdmWorld, id: string): VendorReply {
  const found = world.job(id);
  const instance = found && world.instance(found.instanceId);
  return found === undefined ? failure("taskNotFound") : jsonReply(200, { job: jobToJson(found, instance) });
}

const time = (milliseconds: number): string => new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "+0000");

function jobToJson(job: SimulatedJob, instance: SimulatedInstance | undefined): Record<string, unknown> {
  return {
    id: job.id,
    name: "RestartInstance",
    status: job.status,
    created_time: time(job.createdTime),
    end_time: job.endTime === 0 ? "" : time(job.endTime),
    process: job.status === "Running" ? `${job.process}%` : "",
    instance: { id: job.instanceId, name: instance?.name ?? "" },
  };
}

function toJson(instance: SimulatedInstance, projectId: string): Record<string, unknown> {
  const { engineVersion, nodeCount, ...rest } = instance;
  return {
    ...rest,
    created: "2025-11-21T08:00:00+0000",
    updated: "2025-11-21T08:00:00+0000",
    available_zone: "sandbox-1a",
    vpc_id: "c2f1b1de-4f2c-4c09-8a3e-bd8f5ba1f0a7",
    node_count: nodeCount,
    access_ip: "192.0.2.10",
    access_port: "5066",
    node_status: instance.status,
    core_count: "2",
    ram_capacity: "4",
    ...(instance.status === "ERROR" && { error_msg: "Restarting the instance failed." }),
    project_id: projectId,
    enterprise_project_id: "0",
    engine_version: engineVersion,
    nodes: [],
  };
}
