import { create, createRegistry, type DescMethod, ScalarType } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { ConfigSchema, file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { makeConfig } from "../../src/config.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { startSandbox } from "../../src/sandbox/sandbox.ts";
import { type Served, serve } from "../../src/serve.ts";
import { TARGETS } from "../../src/targets/index.ts";
import { heldLog } from "../support/log.ts";

/** The longest error that any request of 64 kB may be answered with. */
const MAX_ANSWER = 16_000;

const stack = new AsyncDisposableStack();
let served: Served;

beforeAll(async () => {
  const { sections } = stack.use(await startSandbox(TARGETS));
  const config = makeConfig(() => create(ConfigSchema, { ...sections, listen: "127.0.0.1:0" }), {
    validator: newValidator(createRegistry(...withDependencies([file_restart_config_v1_config]))),
    readSections: (read, reader) => TARGETS.map((target) => target.read(read, reader)),
    storeInMemory: true,
  });
  served = stack.use(await serve({ config, log: heldLog("info") }));
});

afterAll(() => stack.disposeAsync());

/** Values that a request is understood with, by the names of its fields. */
const VALID: Readonly<Record<string, unknown>> = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
  site: "sandbox",
  deploymentId: "kvyxph9w5h3o9vgk8dixn",
  projectId: "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d",
  engineId: "4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98",
  instanceIds: ["e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1"],
  instanceId: "28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09",
  validateOnly: true,
};

const services = [...TARGETS.flatMap((target) => target.services), Operations, OperationService, Health];
const methods = services.flatMap(({ typeName, methods }) =>
  methods
    .filter(({ methodKind }) => methodKind === "unary")
    .map((method) => ({ path: `${typeName}/${method.name}`, method })),
);

/** Every request of a method that is as understandable as can be but for one long field. */
function longRequests({ input }: DescMethod): [field: string, request: object][] {
  const base = Object.fromEntries(
    input.fields.filter(({ jsonName }) => jsonName in VALID).map(({ jsonName }) => [jsonName, VALID[jsonName]]),
  );
  const long = ["x", '"', "é", "\u0001", "/"].map((letter) => letter.repeat(9000));
  return input.fields.flatMap((field): [string, object][] => {
    if (field.scalar !== ScalarType.STRING) return [];
    const values =
      field.fieldKind === "list" ? [Array(20_000).fill(""), [...long], long.flatMap((one) => [one, one])] : long;
    const prefixed = field.name === "name" && !("cluster" in base) ? long.map((one) => `operations/${one}`) : [];
    return [...values, ...prefixed].map((value) => [field.name, { ...base, [field.jsonName]: value }]);
  });
}

describe("an error", () => {
  it.each(methods)("of $path is short, however long its request", async ({ path, method }) => {
    for (const [field, request] of longRequests(method)) {
      const response = await fetch(`${served.url}/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(request),
      });
      const text = await response.text();
      expect(text.length, `${field}: ${text.slice(0, 300)}`).toBeLessThan(MAX_ANSWER);
    }
  });
});
