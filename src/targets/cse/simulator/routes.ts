import { jsonReply, type VendorReply, type VendorRequest } from "../../../clouds/simulator/exchange.ts";
import { notFound, refused } from "./replies.ts";
import type { CseWorld, SimulatedEngine, SimulatedJob } from "./world.ts";

/** Most engines of one answer. */
const MAX_LIMIT = 1_000;

/** Answers what the service behind the gateway answers; undefined where it has no such path. */
export function answer(world: CseWorld, projectId: string, request: VendorRequest): VendorReply | undefined {
  const path = /^\/v2\/(?<project>[^/]+)\/enginemgr\/engines(?:\/(?<rest>.+))?$/.exec(request.path)?.groups;
  if (path === undefined) {
    return undefined;
  }
  const [engineId, what, jobId, ...more] = path.rest?.split("/") ?? [];
  const shape = request.method === "GET" ? "camel" : "snake";
  const wrong = wrongHeaders(request);
  if (wrong !== undefined) {
    return refused(400, "SVCSTG.00500400", wrong, shape);
  }
  if (engineId === undefined) {
    return request.method === "GET" ? list(world, request) : undefined;
  }
  const engine = path.project === projectId ? world.engine(engineId) : undefined;
  if (engine === undefined || engine.enterpriseProjectId !== enterpriseProjectOf(request)) {
    return notFound(shape);
  }
  switch ([request.method, what, jobId === undefined ? "" : "ID", ...more].join(" ").trim()) {
    case "GET":
      return jsonReply(200, toJson(engine));
    case "GET jobs ID":
      return job(world, engine, jobId ?? "");
    case "PUT actions":
      return retry(world, engine, request);
    default:
      return undefined;
  }
}

/** What the documents of 2025-12 call mandatory, as far as the vendor's SDKs keep to it: they send no charset, and any Accept. */
function wrongHeaders({ headers }: VendorRequest): string | undefined {
  if (!/^application\/json( *; *charset=utf-8)?$/i.test(headers["content-type"] ?? "")) {
    return "Content-Type must be application/json;charset=UTF-8.";
  }
  const accept = headers.accept ?? "";
  return accept.includes("application/json") || accept.includes("*/*") ? undefined : "Accept must be application/json.";
}

const enterpriseProjectOf = ({ headers }: VendorRequest): string => headers["x-enterprise-project-id"] ?? "0";

function list(world: CseWorld, request: VendorRequest): VendorReply {
  const { query } = request;
  const offset = query.get("offset") ?? "";
  const limit = query.get("limit") ?? "";
  if (!/^\d{1,9}$/.test(offset) || !/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_LIMIT) {
    return refused(400, "SVCSTG.00500400", "offset and limit are required.", "camel");
  }
  const type = query.get("type") ?? "ALL";
  const found = world
    .engines()
    .filter((engine) => engine.enterpriseProjectId === enterpriseProjectOf(request))
    .filter((engine) => type === "ALL" || engine.type === type.toUpperCase());
  // The documents call `offset` a page's number; 0 and 1 are both the first (contracts: terraform's data source says so too).
  const first = (Math.max(Number(offset), 1) - 1) * Number(limit);
  const { length: total } = found;
  return jsonReply(200, { total, data: found.slice(first, first + Number(limit)).map(toJson) });
}

function retry(world: CseWorld, engine: SimulatedEngine, request: VendorRequest): VendorReply {
  if (request.body.replaceAll(/\s/g, "") !== '{"action":"Retry"}') {
    return refused(400, "SVCSTG.00500400", "The action is not supported.", "snake");
  }
  const run = world.retry(engine.id);
  // Which code says that there is nothing to retry is not documented: this one is the nearest.
  return run === undefined
    ? refused(400, "SVCSTG.00501149", "The engine status is abnormal.", "snake")
    : jsonReply(200, { id: engine.id, name: engine.name, jobId: run.id });
}

function job(world: CseWorld, engine: SimulatedEngine, jobId: string): VendorReply {
  if (!/^\d{1,15}$/.test(jobId)) {
    return refused(400, "SVCSTG.00501152", "The job ID format is incorrect.", "camel");
  }
  const found = world.job(engine.id, Number(jobId));
  return found === undefined
    ? refused(400, "SVCSTG.00501153", "The job does not exist.", "camel")
    : jsonReply(200, jobToJson(found));
}

function toJson(engine: SimulatedEngine): Record<string, unknown> {
  return {
    ...engine,
    description: "",
    latestVersion: engine.version,
    authType: "RBAC",
    flavor: "cse.s1.small2",
    payment: "1",
    specType: "CSE2",
    beDefault: false,
    engineAdditionalActions: ["Delete", "ForceDelete"],
    createUser: "sandbox",
    createTime: 1_700_000_000_000,
    enterpriseProjectName: "default",
  };
}

function jobToJson(job: SimulatedJob): Record<string, unknown> {
  const { startTime, endTime, ...rest } = job;
  return {
    ...rest,
    description: `${job.type} engine`,
    scheduling: job.status === "Executing" ? 1 : 0,
    createUser: "sandbox",
    ...(startTime > 0 && { startTime }),
    ...(endTime > 0 && { endTime }),
    context: "{}",
    tasks: [],
  };
}
