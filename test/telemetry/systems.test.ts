import { create, createRegistry, type DescMethodUnary } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { DeploymentService } from "../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { ConfigSchema, file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { TelemetrySchema } from "../../gen/restart/config/v1/telemetry_pb.ts";
import { EngineService } from "../../gen/restart/cse/v1/engine_service_pb.ts";
import { InstanceService as Dcs } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { InstanceService as Ddm } from "../../gen/restart/ddm/v1/instance_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { makeConfig } from "../../src/config.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { startSandbox } from "../../src/sandbox/sandbox.ts";
import { type Served, serve } from "../../src/serve.ts";
import { TARGETS } from "../../src/targets/index.ts";
import { type Collector, startCollector } from "../support/collector.ts";
import { heldLog } from "../support/log.ts";

const projectId = "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";
const engineId = "4a1bc63d-0f4e-4c0b-9a3e-6f5d2c1b0a98";
const web = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const stack = new AsyncDisposableStack();
let collector: Collector;
let served: Served;
let transport: Transport;
const log: Record<string, unknown>[] = [];

beforeAll(async () => {
  collector = stack.use(await startCollector());
  const { sections } = stack.use(await startSandbox(TARGETS));
  const telemetry = create(TelemetrySchema, {
    traces: { otlp: { endpoint: collector.url }, propagate: ["kubernetes", "arcgis", "cse", "dcs", "ddm"] },
  });
  const config = makeConfig(() => create(ConfigSchema, { ...sections, listen: "127.0.0.1:0", telemetry }), {
    validator: newValidator(createRegistry(...withDependencies([file_restart_config_v1_config]))),
    readSections: (read, reader) => TARGETS.map((target) => target.read(read, reader)),
    storeInMemory: true,
  });
  served = stack.use(await serve({ config, log: heldLog("info", (line) => void log.push({ ...line })) }));
  transport = createConnectTransport({ baseUrl: served.url, httpVersion: "1.1" });
});
afterAll(() => stack.disposeAsync());

// biome-ignore lint/suspicious/noExplicitAny: each has its own messages
type Call = [system: string, method: DescMethodUnary<any, any>, request: object];

const calls: Call[] = [
  ["kubernetes", WorkloadService.method.restart, web],
  [
    "arcgis",
    DeploymentService.method.refreshDeployment,
    { site: "sandbox", deploymentId: "kvyxph9w5h3o9vgk8dixn", async: true },
  ],
  ["cse", EngineService.method.retryEngine, { projectId, engineId }],
  ["dcs", Dcs.method.restartInstances, { projectId, instanceIds: ["e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1"], action: 2 }],
  ["ddm", Ddm.method.restartInstance, { projectId, instanceId: "28e8a3b6c0d14bb2a7b54d7e6a1f9c00in09", type: 1 }],
];

it.each(calls)(
  "%s takes requests that say which span they are, each a part of the call",
  async (system, method, request) => {
    await transport.unary(method, undefined, undefined, undefined, request);
    const name = `${method.parent.typeName}/${method.name}`;
    const call = await collector.span((span) => span.kind === "SERVER" && span.name === name);
    expect(call).toMatchObject({ failed: false, attributes: { "restartd.outcome": "applied" } });
    const change = await collector.span(
      ({ kind, name: http, parentSpanId }) => kind === "CLIENT" && http !== "GET" && parentSpanId === call.spanId,
    );
    expect(change, system).toMatchObject({ failed: false, traceId: call.traceId });
    expect(log.find(({ span_id }) => span_id === call.spanId)).toMatchObject({ msg: "call", method: name });
  },
);
