import { jsonReply, type VendorReply, type VendorRequest } from "../../../clouds/simulator/exchange.ts";
import { ACTIONS, type DcsAction, type Instances, type SimulatedInstance } from "./instances.ts";
import { dcsError, type ErrorForm } from "./replies.ts";

/** What the API answers out of. */
export interface RoutesOptions {
  readonly projectId: string;
  readonly instances: Instances;
  /** How errors are said just now. */
  readonly form: () => ErrorForm;
}

/** What a PUT of a status asks for. */
interface Change {
  readonly ids: readonly string[];
  readonly action: DcsAction;
}

/** How many instances a list has, where it is not told (contracts/huaweicloud.md B.3). */
const DEFAULT_LIMIT = 10;

const MAX_LIMIT = 1_000;

const MAX_INSTANCES = 50;

/**
 * The API of version 2, as far as restartd uses it, for requests that the gateway has let in. Undefined: there is no such path.
 */
export function answerDcs(request: VendorRequest, options: RoutesOptions): VendorReply | undefined {
  const { projectId, instances } = options;
  const [, version, project, collection, id, part, ...rest] = request.path.split("/");
  if (version !== "v2" || collection !== "instances" || rest.length > 0) return undefined;
  if (!/^[0-9a-f]{32}$/.test(project ?? "")) return fail("DCS.4002", options);
  if (project !== projectId) return fail("DCS.1004", options);
  if (id === "status" && part === undefined) {
    return request.method === "PUT" ? changeStatus(request, options) : fail("DCS.5001", options);
  }
  if (request.method !== "GET") return fail("DCS.5001", options);
  if (id === undefined) return list(request, options);
  const instance = instances.get(id);
  if (instance === undefined) return fail(isId(id) ? "DCS.3022" : "DCS.4061", options);
  if (part === undefined) return jsonReply(200, whole(instance));
  return part === "configs" ? jsonReply(200, configs(instance)) : undefined;
}

const fail = (code: string, { form }: Pick<RoutesOptions, "form">): VendorReply => dcsError(code, form());

const isId = (text: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);

/**
 * Restarts and flushes. Of one instance that refuses, the answer is an error with its code; of several, HTTP 200 with a result for each.
 */
function changeStatus(request: VendorRequest, options: RoutesOptions): VendorReply {
  const { instances } = options;
  const asked = readChange(request);
  if (typeof asked === "string") return fail(asked, options);
  const { ids, action } = asked;
  const refusals = ids.map((id) => instances.refusal(id, action));
  const [only] = refusals;
  if (ids.length === 1 && only !== undefined) return fail(only, options);
  const results = ids.map((instance, index) => {
    const refused = refusals[index] !== undefined || instances.takeFailure(instance);
    if (!refused) instances.act(instance, action);
    return { instance, result: refused ? "failed" : "success" };
  });
  return jsonReply(200, { results });
}

/** What the body asks for, or the code that it is refused with. */
function readChange({ headers, body }: VendorRequest): Change | string {
  if (body === "") return "DCS.4004";
  if (!/^application\/json *(;|$)/i.test(headers["content-type"] ?? "")) return "DCS.4005";
  const fields = parse(body);
  if (fields === undefined) return "DCS.4005";
  const { instances: ids, action } = fields;
  if (!Array.isArray(ids) || ids.length === 0) return "DCS.4065";
  if (ids.length > MAX_INSTANCES) return "DCS.4100";
  if (!ids.every((id): id is string => typeof id === "string" && isId(id))) return "DCS.4061";
  const known = ACTIONS.find((one) => one === action);
  if (known === undefined) return "DCS.4064";
  if (Object.keys(fields).some((name) => name !== "instances" && name !== "action")) return "DCS.4063";
  return new Set(ids).size === ids.length ? { ids, action: known } : "DCS.4062";
}

/** An object out of JSON. */
function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined; // the vendor has a code for it
  }
}

function list({ query }: VendorRequest, options: RoutesOptions): VendorReply {
  const offset = number(query.get("offset"), 0);
  const limit = number(query.get("limit"), DEFAULT_LIMIT);
  if (offset === undefined || limit === undefined || limit < 1 || limit > MAX_LIMIT) return fail("DCS.4062", options);
  const all = options.instances.all();
  return jsonReply(200, { instance_num: all.length, instances: all.slice(offset, offset + limit).map(brief) });
}

function number(text: string | null, otherwise: number): number | undefined {
  if (text === null) return otherwise;
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

/** What lists say of an instance: neither cache_mode, nor replica_count, nor task. */
const brief = ({ seed, status }: SimulatedInstance): Record<string, unknown> => ({
  instance_id: seed.instanceId,
  name: seed.name,
  status,
  sub_status: "normal",
  engine: seed.engine,
  engine_version: seed.engineVersion,
  capacity: 1,
  charging_mode: 0,
  port: 6379,
  enterprise_project_id: "0",
  created_at: "2026-01-05T08:00:00.000Z",
});

const whole = (instance: SimulatedInstance): Record<string, unknown> => ({
  ...brief(instance),
  task: instance.task,
  cache_mode: instance.seed.cacheMode,
  replica_count: instance.seed.replicaCount,
  update_at: new Date(instance.updatedAt).toISOString(),
});

const configs = ({ seed: { instanceId, appendOnly } }: SimulatedInstance): Record<string, unknown> => ({
  instance_id: instanceId,
  config_status: "SUCCESS",
  status: "RUNNING",
  config_time: "",
  redis_config: [
    parameter("1", "timeout", "0", "0", "0-7200"),
    ...(appendOnly === undefined ? [] : [parameter("2", "appendonly", appendOnly, "yes", "yes,no")]),
  ],
});

const parameter = (id: string, name: string, value: string, byDefault: string, range: string) => ({
  param_id: id,
  param_name: name,
  param_value: value,
  default_value: byDefault,
  value_range: range,
  value_type: "enum",
  description: name,
});
