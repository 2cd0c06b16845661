import type { FieldValidation } from "./decode-object.ts";
import { badRequest, type Cause, invalid } from "./status-errors.ts";

/** The query parameters of a write. */
export interface WriteOptions {
  readonly dryRun: boolean;
  readonly manager: string;
  readonly validation: FieldValidation;
}

const optionKinds: Readonly<Record<string, string>> = {
  create: "CreateOptions",
  update: "UpdateOptions",
  patch: "PatchOptions",
  delete: "DeleteOptions",
};

/** Reads `dryRun`, `fieldManager` and `fieldValidation`; 422 for values that do not exist. The manager defaults to the user agent's name. */
export function writeOptions(verb: string, query: URLSearchParams, userAgent: string): WriteOptions {
  const causes: Cause[] = [];
  const dryRun = query.getAll("dryRun").filter((value) => value !== "");
  if (dryRun.some((value) => value !== "All")) {
    causes.push(notSupported("dryRun", JSON.stringify(dryRun), '"All"'));
  }
  const manager = query.get("fieldManager") ?? "";
  if (Buffer.byteLength(manager) > 128) {
    causes.push({
      reason: "FieldValueTooLong",
      message: "Too long: may not be more than 128 bytes",
      field: "fieldManager",
    });
  }
  const validation = query.get("fieldValidation") || "Warn";
  if (!isValidation(validation)) {
    causes.push(notSupported("fieldValidation", JSON.stringify(validation), '"", "Ignore", "Strict", "Warn"'));
  }
  if (causes.length > 0) throw invalid({ group: "meta.k8s.io", kind: optionKinds[verb] ?? "CreateOptions" }, causes);
  return {
    dryRun: dryRun.length > 0,
    manager: manager || (userAgent.split("/")[0] ?? "") || "unknown",
    validation: isValidation(validation) ? validation : "Warn",
  };
}

function notSupported(field: string, value: string, supported: string): Cause {
  return {
    reason: "FieldValueNotSupported",
    message: `Unsupported value: ${value}: supported values: ${supported}`,
    field,
  };
}

function isValidation(value: string): value is FieldValidation {
  return value === "Strict" || value === "Warn" || value === "Ignore";
}

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/** Milliseconds of the `timeout` parameter (a Go duration); undefined without one, 400 for a malformed one. */
export function timeoutParameter(query: URLSearchParams): number | undefined {
  const text = query.get("timeout");
  if (text === null || text === "") return undefined;
  if (text === "0") return undefined;
  if (!/^([0-9.]+(ns|us|µs|ms|s|m|h))+$/.test(text)) {
    throw badRequest(`invalid timeout specified in the request URL - time: invalid duration "${text}"`);
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/([0-9.]+)(ns|us|µs|ms|s|m|h)/g)) {
    total += Number(amount) * (units[unit ?? "s"] ?? 1000);
  }
  return total;
}
