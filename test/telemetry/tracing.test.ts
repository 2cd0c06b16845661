import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import {
  ATTR_ERROR_TYPE,
  ATTR_HTTP_REQUEST_METHOD,
  ATTR_HTTP_RESPONSE_STATUS_CODE,
  ATTR_RPC_METHOD,
  ATTR_RPC_STATUS_CODE,
  ATTR_RPC_SYSTEM_NAME,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  ATTR_SERVICE_NAME,
  ATTR_SERVICE_VERSION,
  ATTR_URL_FULL,
  RPC_SYSTEM_NAME_VALUE_GRPC,
} from "@opentelemetry/semantic-conventions";
import { RPC_SYSTEM_NAME_VALUE_CONNECTRPC } from "@opentelemetry/semantic-conventions/incubating";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { sendCounted, vendorCounter } from "../../src/clouds/counted.ts";
import { openConnections, readAnswer } from "../../src/clouds/http.ts";
import { VERSION } from "../../src/core/version.ts";
import { startTracing, type Tracing } from "../../src/telemetry/tracing.ts";
import { freePorts } from "../cluster/ports.ts";
import { type Collector, type ReceivedSpan, startCollector } from "../support/collector.ts";
import { ROOT, run } from "../support/command.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";
import { startProgram } from "../support/program.ts";
import { within } from "../support/within.ts";

const WEB = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const RESTART = "restart.kubernetes.v1.WorkloadService/Restart";

/** What has to stand nowhere in what a collector gets. */
const NAMES = ["shop", "namespaces/", "clusters/sandbox"];

/** The section `telemetry` for a collector. */
const traces = ({ url }: Pick<Collector, "url">, more: object = {}) => ({
  telemetry: { traces: { otlp: { endpoint: url }, ...more } },
});

const clientOf = ({ program }: Pick<Configured, "program">) =>
  createClient(WorkloadService, createConnectTransport({ baseUrl: program.url, httpVersion: "1.1" }));

/** A caller's own span. */
function caller(sampled = true) {
  const traceId = randomBytes(16).toString("hex");
  const spanId = randomBytes(8).toString("hex");
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-0${Number(sampled)}` } };
}

const isCall = ({ kind, name }: ReceivedSpan): boolean => kind === "SERVER" && name === RESTART;

const ofServer = (name: string) => (span: ReceivedSpan) => span.kind === "SERVER" && span.name === name;

/** Calls that are answered, one after the other, in ms each. */
async function callsTake({ program }: Pick<Configured, "program">, calls: number): Promise<number> {
  const client = createClient(ServerService, createConnectTransport({ baseUrl: program.url, httpVersion: "1.1" }));
  const began = performance.now();
  for (let call = 0; call < calls; call++) await client.getServer({});
  return (performance.now() - began) / calls;
}

describe("spans", () => {
  it("are of the call, within the caller's, and of the requests that it led to; what follows is linked to it", async () => {
    await using collector = await startCollector();
    const { telemetry } = traces(collector);
    const resource = { "deployment.environment.name": "prod" };
    await using configured = await startConfigured({ telemetry: { ...telemetry, resource } });
    const asked = caller();
    let operation = "";
    await clientOf(configured).restart(WEB, {
      headers: asked.headers,
      onHeader: (headers) => {
        operation = headers.get("operation-name") ?? "";
      },
    });
    const call = await collector.span(isCall);
    expect(call).toMatchObject({
      name: RESTART,
      traceId: asked.traceId,
      parentSpanId: asked.spanId,
      failed: false,
      links: [],
      attributes: {
        [ATTR_RPC_SYSTEM_NAME]: RPC_SYSTEM_NAME_VALUE_CONNECTRPC,
        [ATTR_RPC_METHOD]: RESTART,
        [ATTR_RPC_STATUS_CODE]: "ok",
        "restartd.operation": operation,
        "restartd.outcome": "applied",
      },
      resource: {
        [ATTR_SERVICE_NAME]: "restartd",
        [ATTR_SERVICE_VERSION]: VERSION,
        "deployment.environment.name": "prod",
      },
    });
    const patch = await collector.span(({ name }) => name === "PATCH");
    const backend = new URL(configured.backend.url);
    expect(patch).toMatchObject({
      kind: "CLIENT",
      traceId: asked.traceId,
      parentSpanId: call.spanId,
      failed: false,
      links: [],
      attributes: {
        [ATTR_HTTP_REQUEST_METHOD]: "PATCH",
        [ATTR_HTTP_RESPONSE_STATUS_CODE]: 200,
        [ATTR_SERVER_ADDRESS]: backend.hostname,
        [ATTR_SERVER_PORT]: Number(backend.port),
      },
    });
    // The observer's.
    const after = await collector.span(({ links }) => links.length > 0);
    expect(after).toMatchObject({
      kind: "CLIENT",
      name: "GET",
      parentSpanId: "",
      links: [{ traceId: call.traceId, spanId: call.spanId }],
    });
    expect(after.traceId).not.toBe(call.traceId);
    // As many requests as there were, each once.
    const line = await configured.program.line(({ msg, method }) => msg === "call" && method === RESTART);
    expect(line).toMatchObject({ trace_id: call.traceId, span_id: call.spanId });
    expect(await configured.program.stop()).toBe(0);
    const requests = configured.backend.simulator.requests.filter(({ headers }) => headers.traceparent !== undefined);
    expect(requests).toEqual([]);
    expect(collector.spans.filter(({ name }) => name === "PATCH")).toHaveLength(configured.patches());
    const sent = collector.batches.map(({ body }) => body.toString("latin1")).join("");
    for (const name of [...NAMES, configured.backend.simulator.token("patcher")]) expect(sent).not.toContain(name);
  });

  it("of refusals are no errors, of defects and of what there is not are", async () => {
    await using collector = await startCollector();
    await using configured = await startConfigured(traces(collector));
    const refused = clientOf(configured).restart({ ...WEB, name: "checkout" });
    await expect(refused).rejects.toBeInstanceOf(ConnectError);
    const call = await collector.span(isCall);
    expect(call).toMatchObject({
      failed: false,
      attributes: {
        [ATTR_RPC_STATUS_CODE]: "failed_precondition",
        "restartd.reason": "PAUSED",
        "restartd.outcome": "not_applied",
      },
    });
    expect(call.attributes).not.toHaveProperty([ATTR_ERROR_TYPE]);
    const { url } = configured.program;
    const unknown = await fetch(`${url}/no.Such/Thing`, {
      method: "POST",
      headers: { "content-type": "application/json" },
    });
    expect(unknown.status).toBe(404);
    expect(await collector.span(ofServer("_OTHER"))).toMatchObject({
      failed: true,
      attributes: { [ATTR_RPC_METHOD]: "_OTHER", [ATTR_ERROR_TYPE]: "unimplemented" },
    });
    // A page is no call.
    expect((await fetch(`${url}/console/`)).status).toBe(200);
    const grpc = createClient(WorkloadService, createGrpcTransport({ baseUrl: url }));
    await grpc.listClusters({});
    const list = await collector.span(ofServer("restart.kubernetes.v1.WorkloadService/ListClusters"));
    expect(list.attributes).toMatchObject({
      [ATTR_RPC_SYSTEM_NAME]: RPC_SYSTEM_NAME_VALUE_GRPC,
      [ATTR_RPC_STATUS_CODE]: "OK",
    });
    expect(collector.spans.filter(({ name }) => name === "_OTHER")).toHaveLength(1);
  });

  it("of requests that fail say why", async () => {
    await using collector = await startCollector();
    await using configured = await startConfigured(traces(collector));
    configured.backend.simulator.inject({ method: "PATCH", disconnect: "before-executing" });
    await clientOf(configured)
      .restart(WEB)
      .catch(() => {});
    expect(await collector.span(({ name }) => name === "PATCH")).toMatchObject({
      failed: true,
      attributes: { [ATTR_ERROR_TYPE]: "reset" },
    });
    const { simulator } = configured.backend;
    await clientOf(configured)
      .getRollout({ ...WEB, name: "nothing" })
      .catch(() => {});
    expect(simulator.requests.map(({ status }) => status)).toContain(404);
    expect(await collector.span(({ attributes }) => attributes[ATTR_HTTP_RESPONSE_STATUS_CODE] === 404)).toMatchObject({
      failed: true,
      attributes: { [ATTR_ERROR_TYPE]: "404" },
    });
  });

  it("name targets, and clusters are told of them, where that is asked for", async () => {
    await using collector = await startCollector();
    await using configured = await startConfigured(traces(collector, { targets: true, propagate: ["kubernetes"] }));
    const asked = caller();
    const headers = { ...asked.headers, tracestate: "vendor=1" };
    await clientOf(configured).restart(WEB, { headers });
    const call = await collector.span(isCall);
    expect(call.attributes["restartd.target"]).toBe("clusters/sandbox/apps/v1/namespaces/shop/deployments/web");
    const patch = await collector.span(({ name }) => name === "PATCH");
    expect(patch.attributes[ATTR_URL_FULL]).toBe(
      `${configured.backend.url}/apis/apps/v1/namespaces/shop/deployments/web`,
    );
    const [request] = configured.backend.simulator.requests.filter(({ method }) => method === "PATCH");
    expect(request?.headers).toMatchObject({
      traceparent: `00-${asked.traceId}-${patch.spanId}-01`,
      tracestate: "vendor=1",
    });
  });

  it("are the caller's choice where it has made one, and else as many as are wanted", async () => {
    await using collector = await startCollector();
    await using configured = await startConfigured(traces(collector, { sample_ratio: 0 }));
    const client = clientOf(configured);
    await client.listClusters({});
    await client.listClusters({}, { headers: caller(false).headers });
    for (const traceparent of [
      "",
      "00-0-0-01",
      `ff-${"1".repeat(32)}-${"1".repeat(16)}-01`,
      `00-${"0".repeat(32)}-${"1".repeat(16)}-01`,
      "x".repeat(5_000),
    ]) {
      await client.listClusters({}, { headers: { traceparent } });
    }
    const asked = caller();
    await client.listClusters({}, { headers: asked.headers });
    await collector.span(({ traceId }) => traceId === asked.traceId);
    expect(await configured.program.stop()).toBe(0);
    expect(collector.spans.filter(({ kind }) => kind === "SERVER")).toHaveLength(1);
    expect(collector.spans.filter(({ traceId }) => traceId !== asked.traceId)).toEqual([]);
    // One that is not kept has ids all the same.
    expect(configured.program.log.filter(({ msg, trace_id }) => msg === "call" && trace_id === undefined)).toEqual([]);
  });

  it("of another process are linked to the call all the same", async () => {
    await using collector = await startCollector();
    await using configured = await startConfigured(traces(collector));
    configured.backend.simulator.controllers.pause();
    await clientOf(configured).restart(WEB);
    const call = await collector.span(isCall);
    await configured.program.stop("SIGKILL");
    await using next = await startProgram(["--config", configured.file]);
    const instance = "service.instance.id";
    const after = await collector.span(
      ({ resource, links }) => resource[instance] !== call.resource[instance] && links.length > 0,
    );
    expect(after.links).toEqual([{ traceId: call.traceId, spanId: call.spanId }]);
    configured.backend.simulator.controllers.resume();
    const operations = createClient(Operations, createConnectTransport({ baseUrl: next.url, httpVersion: "1.1" }));
    expect(await operations.waitOperation({ name: String(call.attributes["restartd.operation"]) })).toMatchObject({
      done: true,
    });
  });
});

describe("a collector", () => {
  it("gets the headers of the configuration, and nothing out of the environment", async () => {
    await using collector = await startCollector();
    await using elsewhere = await startCollector();
    const telemetry = {
      traces: { otlp: { endpoint: `${collector.url}/otlp/`, headers: { Authorization: { env: "COLLECTOR_TOKEN" } } } },
    };
    const secret = "Bearer 0123456789abcdef";
    await using configured = await startConfigured(
      { telemetry },
      {
        COLLECTOR_TOKEN: secret,
        OTEL_EXPORTER_OTLP_ENDPOINT: elsewhere.url,
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: elsewhere.url,
        OTEL_EXPORTER_OTLP_HEADERS: "x-environment=1",
        OTEL_RESOURCE_ATTRIBUTES: "from.environment=1",
        OTEL_SERVICE_NAME: "environment",
        OTEL_TRACES_SAMPLER: "always_off",
        OTEL_SDK_DISABLED: "true",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: "1",
        OTEL_BSP_MAX_QUEUE_SIZE: "1",
      },
    );
    await clientOf(configured).restart(WEB);
    const call = await collector.span(isCall);
    expect(call.resource).toMatchObject({ [ATTR_SERVICE_NAME]: "restartd" });
    expect(call.resource).not.toHaveProperty(["from.environment"]);
    expect(Object.keys(call.attributes).length).toBeGreaterThan(3);
    const [batch] = collector.batches;
    expect(batch?.path).toBe("/otlp/v1/traces");
    expect(batch?.headers).toMatchObject({ authorization: secret, "content-type": "application/x-protobuf" });
    expect(batch?.headers).not.toHaveProperty("x-environment");
    expect(elsewhere.batches).toEqual([]);
    expect(JSON.stringify(configured.program.log)).not.toContain(secret);
  });

  it("that takes a batch another time is offered it again", async () => {
    let asked = 0;
    await using collector = await startCollector((response) => {
      asked++;
      response.writeHead(asked === 1 ? 503 : 200).end();
    });
    await using tracing = startedTracing(collector);
    makeSpans(tracing, 1);
    await collector.received(2);
    expect(collector.batches[1]?.body).toEqual(collector.batches[0]?.body);
    expect(told).toEqual([]);
  });

  it("that is away is told of once, and gets what comes when it is there", async () => {
    const [port = 0] = await freePorts(1);
    await using configured = await startConfigured(traces({ url: `http://127.0.0.1:${port}` }));
    const client = clientOf(configured);
    await client.restart(WEB);
    const lost = await configured.program.line(({ msg }) => msg === "traces cannot be delivered: they are dropped");
    expect(lost).toMatchObject({ level: "warn", detail: "ECONNREFUSED" });
    await using collector = await startCollector(undefined, port);
    await client.listClusters({});
    await collector.span(ofServer("restart.kubernetes.v1.WorkloadService/ListClusters"));
    await configured.program.line(({ msg }) => msg === "traces are delivered again");
    expect(configured.program.log.filter(({ msg }) => String(msg).startsWith("traces"))).toHaveLength(2);
  });

  it("that hangs delays no call, and no end", async () => {
    await using collector = await startCollector(() => {});
    await using configured = await startConfigured(traces(collector));
    await callsTake(configured, 10);
    await collector.received(1);
    // Such a call takes milliseconds; a collector's answer is waited for for ten seconds.
    expect(await callsTake(configured, 100)).toBeLessThan(500);
    await clientOf(configured).restart(WEB);
    const began = performance.now();
    expect(await configured.program.stop()).toBe(0);
    expect(performance.now() - began).toBeLessThan(9_000);
  });

  it.each([
    ["hangs", () => {}],
    [
      "answers without an end",
      (response) => {
        const timer = setInterval(() => response.write("x".repeat(100)), 20);
        response.once("close", () => clearInterval(timer));
      },
    ],
    ["breaks off", (response) => void response.destroy()],
    ["sends elsewhere", (response) => void response.writeHead(307, { location: "http://127.0.0.1:1/" }).end()],
  ] satisfies [string, Parameters<typeof startCollector>[0]][])("that %s is not waited for", async (_, answer) => {
    await using collector = await startCollector(answer);
    const tracing = startedTracing(collector);
    makeSpans(tracing, 10_000); // many more than wait to be sent
    await collector.received(1);
    await within(9_000, Promise.resolve(tracing[Symbol.asyncDispose]()));
    expect(collector.spans.length).toBeLessThan(5_000);
  });

  it("is not read for longer than it is of use", async () => {
    const { promise: sent, resolve } = Promise.withResolvers<number>();
    const piece = Buffer.alloc(64 * 1024);
    await using collector = await startCollector((response) => {
      let bytes = 0;
      const pump = (): void => {
        while (bytes < 50 * 1024 * 1024) {
          bytes += piece.length;
          if (!response.write(piece)) return;
        }
        response.end();
      };
      response.on("drain", pump).once("close", () => resolve(bytes));
      pump();
    });
    await using tracing = startedTracing(collector);
    makeSpans(tracing, 1);
    // What the kernel holds for a connection has left as well.
    expect(await sent).toBeLessThan(20 * 1024 * 1024);
    expect(told).toEqual([]);
  });
});

let told: (string | undefined)[] = [];

function startedTracing({ url }: Pick<Collector, "url">): Tracing {
  told = [];
  const otlp = { url: `${url}/v1/traces`, headers: {} };
  const settings = { ...otlp, sampleRatio: 1, propagate: new Set(["dcs"]), targets: false, resource: {} };
  return startTracing(settings, { version: "1", instance: "one", tell: (lost) => void told.push(lost) });
}

function makeSpans({ tracer }: Tracing, count: number): void {
  const call = { rpc: "a.B/C", protocol: "connect", traceparent: undefined, tracestate: undefined };
  for (let made = 0; made < count; made++) {
    const ended = { code: "ok", reason: "", outcome: "not_applied", operation: undefined, target: undefined } as const;
    tracer.call(call)?.end(ended);
  }
}

describe("requests to vendors", () => {
  it("say which span they are to the systems that are told, and to no other", async () => {
    await using collector = await startCollector();
    await using tracing = startedTracing(collector);
    await using connections = openConnections(undefined, 5_000);
    const heard: IncomingHttpHeaders[] = [];
    await using vendor = await startCollector((response, { headers }) => {
      heard.push(headers);
      response.end();
    });
    for (const system of ["dcs", "cse"]) {
      await sendCounted(
        {
          ...vendorCounter({ monotonic: () => performance.now(), tracer: tracing.tracer }, system, "name"),
          operation: "get",
          resultOf: () => "2xx",
        },
        { changes: false, signal: AbortSignal.timeout(5_000), timeoutMs: 5_000 },
        async () => ({
          url: new URL(vendor.url),
          method: "GET",
          headers: {},
          dispatcher: connections.dispatcher(false),
        }),
        (response) => readAnswer(response, 1_000),
      );
    }
    const span = await collector.span(({ name }) => name === "GET");
    expect(heard.map(({ traceparent }) => traceparent)).toEqual([`00-${span.traceId}-${span.spanId}-01`, undefined]);
  });
});

describe("docs/operations/tracing.md", () => {
  it("has a configuration and a command that show a call's trace", async () => {
    const page = readFileSync(join(ROOT, "docs/operations/tracing.md"), "utf8");
    const block = (language: string) => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(page)?.[1] ?? "";
    await using collector = await startCollector();
    await using folder = await temporaryFolder();
    const token = await folder.write("token", "Bearer t");
    const section = parse(
      block("yaml")
        .replace(/http:\/\/\S+:4318/, collector.url)
        .replace("/run/secrets/restartd/collector", token),
    );
    await using configured = await startConfigured(section);
    const command = block("sh").trim().replace("http://127.0.0.1:8080", configured.program.url);
    expect(await run("sh", ["-c", command])).toMatchObject({ code: 0 });
    const traceId = /traceparent: 00-([0-9a-f]{32})/.exec(command)?.[1];
    expect(await collector.span(ofServer("restart.kubernetes.v1.WorkloadService/ListClusters"))).toMatchObject({
      traceId,
    });
    expect(collector.batches[0]?.headers.authorization).toBe("Bearer t");
  });
});
