import { fieldsOf, listOf } from "../../clouds/json.ts";
import type { DcsInstance, DcsPage } from "./instance.ts";

/** One instance out of JSON, whole or as lists tell it. Undefined without what every answer has: its id and its status. */
export function readInstance(json: unknown): DcsInstance | undefined {
  const fields = fieldsOf(json);
  const instanceId = word(fields?.instance_id);
  const status = word(fields?.status).toUpperCase();
  if (fields === undefined || instanceId === "" || status === "") {
    return undefined;
  }
  const { replica_count: replicaCount } = fields;
  return {
    instanceId,
    status,
    name: word(fields.name),
    task: taskOf(fields.task),
    engine: word(fields.engine),
    engineVersion: word(fields.engine_version),
    cacheMode: word(fields.cache_mode),
    replicaCount: typeof replicaCount === "number" && isInt32(replicaCount) ? replicaCount : undefined,
    updateAt: word(fields.update_at) || undefined,
  };
}

/** A page of instances out of JSON; undefined when it is none. One odd item does not hide the others. */
export function readPage(json: unknown): DcsPage | undefined {
  const fields = fieldsOf(json);
  const items = listOf(fields?.instances);
  const instances = items?.map(readInstance).filter((instance) => instance !== undefined);
  const total = fields?.instance_num;
  return (
    instances && {
      instances,
      total: typeof total === "number" && Number.isSafeInteger(total) ? total : undefined,
    }
  );
}

/** Whether the parameter `appendonly` is on, out of JSON; undefined when that is not said. */
export function readAppendOnly(json: unknown): boolean | undefined {
  const parameters = fieldsOf(json)?.redis_config;
  if (!Array.isArray(parameters)) {
    return undefined;
  }
  const value = parameters.map(fieldsOf).find((one) => one?.param_name === "appendonly")?.param_value;
  return value === "yes" ? true : value === "no" ? false : undefined;
}

/** What the vendor says became of one instance, found by its id. Undefined when it does not say so clearly, once. */
export function readResult(json: unknown, instanceId: string): "success" | "failed" | undefined {
  const results = fieldsOf(json)?.results;
  if (!Array.isArray(results)) {
    return undefined;
  }
  const about = results.map(fieldsOf).filter((one) => word(one?.instance).toLowerCase() === instanceId.toLowerCase());
  const result = about.length === 1 ? about[0]?.result : undefined;
  return result === "success" || result === "failed" ? result : undefined;
}

/** What an instance is at: nothing for null, and something for whatever is no text. */
const taskOf = (value: unknown): string =>
  value === undefined || value === null || typeof value === "string" ? word(value) : "a task that is not told";

/** A text; empty for null and for anything else. */
const word = (value: unknown): string => (typeof value === "string" ? value.toWellFormed() : "");

const isInt32 = (value: number): boolean => Number.isInteger(value) && value >= 0 && value <= 0x7fffffff;
