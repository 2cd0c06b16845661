import { Code } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry, type RegistryContentType } from "prom-client";
import { WARNINGS } from "../core/call.ts";
import { type Meter, SEND_RESULTS, STORE_OPERATIONS, systemOf, VENDOR_RESULTS } from "../core/meter.ts";
import type { VendorLabels } from "../core/target.ts";
import { ENDED } from "../operations/store/record.ts";
import { createStoreGauges, type StoreGaugeOptions } from "./store-gauges.ts";

/** The closed values of labels: each of their series is there at 0 from the start, since rate() misses the first step otherwise. */
export interface Labels {
  /** Every rpc that is served. */
  readonly rpcs: readonly {
    /** `package.Service/Method`. */
    readonly name: string;
    readonly unary: boolean;
    /** Whether it is of a package of restartd's own. */
    readonly ours: boolean;
  }[];
  /** What can be done, by rpc: every word that an operation's `action` may be. */
  readonly actions: readonly { readonly method: string; readonly verbs: readonly string[] }[];
  /** Whom requests go to. */
  readonly vendors: readonly VendorLabels[];
}

/** What is said of the process and its store. */
export interface MetricsOptions extends StoreGaugeOptions {
  readonly build: { readonly version: string; readonly node: string; readonly commit: string };
  /** SHA-256 of the configuration file, in hex; empty without one. */
  readonly configSha256: string;
}

/** Metrics as Prometheus reads them. */
export interface Metrics {
  readonly meter: Meter;
  /** Says which labels there are, once that is known. */
  declare(labels: Labels): void;
  /** All of them now. @param openMetrics in the form of OpenMetrics 1.0.0 instead of text 0.0.4. */
  render(openMetrics: boolean): Promise<{ readonly contentType: string; readonly body: string }>;
}

const RPC_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60];
const OPERATION_BUCKETS = [1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];
const STORE_BUCKETS = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

const PROTOCOLS = ["connect", "grpc", "grpc-web"] as const;

/** Creates every metric of production.md §2.4. */
export function createMetrics(options: MetricsOptions): Metrics {
  const registry: Registry<RegistryContentType> = new Registry();
  const register = registry as Registry; // its type is about the form that it is rendered in
  const registers = [register];
  collectDefaultMetrics({ register });
  const rpc = createRpcMetrics(registers);
  const operations = createOperationMetrics(registers);
  const vendors = createVendorMetrics(registers);
  const store = createStoreGauges(registers, options);
  new Gauge({
    name: "restartd_build_info",
    help: "Always 1: which program this is.",
    labelNames: ["version", "node", "commit"],
    registers,
  }).set({ ...options.build }, 1);
  new Gauge({
    name: "restartd_config_info",
    help: "Always 1: SHA-256 of the bytes of the configuration file, empty without one.",
    labelNames: ["sha256"],
    registers,
  }).set({ sha256: options.configSha256 }, 1);
  return {
    meter: { ...rpc.meter, ...operations.meter, ...vendors.meter, ...createStoreMetrics(registers) },
    declare(labels) {
      rpc.declare(labels);
      operations.declare(labels);
      vendors.declare(labels);
      store.declare(labels);
    },
    render: createRenderer(registry),
  };
}

/**
 * One after the other: the registry has one form at a time, and reads it while it renders. As OpenMetrics it takes `_total` from the names
 * of its counters for good, so that they are given back.
 */
function createRenderer(registry: Registry<RegistryContentType>): Metrics["render"] {
  let before: Promise<unknown> = Promise.resolve();
  const render = async (openMetrics: boolean) => {
    registry.setContentType(openMetrics ? Registry.OPENMETRICS_CONTENT_TYPE : Registry.PROMETHEUS_CONTENT_TYPE);
    const { contentType } = registry;
    const names = registry.getMetricsAsArray().map((metric) => ({ metric, name: metric.name }));
    try {
      return { contentType, body: await registry.metrics() };
    } finally {
      for (const { metric, name } of names) metric.name = name;
    }
  };
  return (openMetrics) => {
    const rendered = before.then(() => render(openMetrics));
    before = rendered.catch(() => {}); // whoever asked for it is told
    return rendered;
  };
}

type Registers = Registry[];

function createRpcMetrics(registers: Registers) {
  const total = new Counter({
    name: "restartd_rpc_total",
    help: "Calls that have ended, by what they were answered with.",
    labelNames: ["rpc", "protocol", "code", "reason"],
    registers,
  });
  const duration = new Histogram({
    name: "restartd_rpc_duration_seconds",
    help: "How long unary calls took, from the first byte of the request to the last of the answer.",
    labelNames: ["rpc", "code"],
    buckets: RPC_BUCKETS,
    registers,
  });
  const open = {
    unary: new Gauge({ name: "restartd_rpc_in_flight", help: "Calls under way.", labelNames: ["rpc"], registers }),
    stream: new Gauge({ name: "restartd_streams_open", help: "Streams under way.", labelNames: ["rpc"], registers }),
  };
  const codes = new Set(["ok"]);
  for (const code of Object.values(Code)) if (typeof code === "number") codes.add(codeToString(code));
  const unary = new Map<string, boolean>();
  const gaugeOf = (rpc: string) => (unary.get(rpc) ? open.unary : open.stream);
  const meter: Pick<Meter, "callBegan" | "callEnded"> = {
    callBegan: (rpc) => gaugeOf(rpc).inc({ rpc }),
    callEnded({ rpc, protocol, code, reason, durationMs }) {
      if (rpc === undefined || !unary.has(rpc)) {
        total.inc({ rpc: "_OTHER", protocol: "http", code: codes.has(code) ? code : "unknown", reason });
        return;
      }
      gaugeOf(rpc).dec({ rpc });
      total.inc({ rpc, protocol: protocol === "connect-stream" ? "connect" : protocol, code, reason });
      if (unary.get(rpc)) duration.observe({ rpc, code }, durationMs / 1000);
    },
  };
  return {
    meter,
    declare({ rpcs }: Pick<Labels, "rpcs">) {
      for (const rpc of rpcs) {
        unary.set(rpc.name, rpc.unary);
        gaugeOf(rpc.name).set({ rpc: rpc.name }, 0);
        if (!rpc.ours) continue;
        for (const protocol of PROTOCOLS) total.inc({ rpc: rpc.name, protocol, code: "ok", reason: "" }, 0);
        if (rpc.unary) duration.zero({ rpc: rpc.name, code: "ok" });
      }
    },
  };
}

function createOperationMetrics(registers: Registers) {
  const ended = new Counter({
    name: "restartd_operations_total",
    help: "Operations that have ended, each counted by the replica that wrote its end down.",
    labelNames: ["system", "action", "state"],
    registers,
  });
  const duration = new Histogram({
    name: "restartd_operation_duration_seconds",
    help: "From an operation's acceptance to its end.",
    labelNames: ["system", "action", "state"],
    buckets: OPERATION_BUCKETS,
    registers,
  });
  const sends = new Counter({
    name: "restartd_sends_total",
    help: "What became of sends: taken by the vendor, refused for sure, of unknown outcome, or never sent.",
    labelNames: ["system", "action", "result"],
    registers,
  });
  const warnings = new Counter({
    name: "restartd_warnings_total",
    help: "Warnings that restarts were answered with.",
    labelNames: ["warning"],
    registers,
  });
  const orphans = new Counter({
    name: "restartd_orphans_total",
    help: "Operations taken over from a process that is gone, by the state that they were put into.",
    labelNames: ["to"],
    registers,
  });
  for (const warning of WARNINGS) warnings.inc({ warning }, 0);
  for (const to of ["CANCELLED", "UNKNOWN"]) orphans.inc({ to }, 0);
  const meter: Pick<Meter, "operationEnded" | "sent" | "warned" | "orphaned"> = {
    operationEnded(method, action, state, durationMs) {
      const labels = { system: systemOf(method), action, state };
      ended.inc(labels);
      duration.observe(labels, durationMs / 1000);
    },
    sent: (method, action, result) => sends.inc({ system: systemOf(method), action, result }),
    warned: (warning) => warnings.inc({ warning }),
    orphaned: (to) => orphans.inc({ to }),
  };
  return {
    meter,
    declare({ actions }: Pick<Labels, "actions">) {
      for (const { method, verbs } of actions) {
        const system = systemOf(method);
        for (const action of verbs) {
          for (const result of SEND_RESULTS) sends.inc({ system, action, result }, 0);
          for (const state of ENDED) {
            ended.inc({ system, action, state }, 0);
            duration.zero({ system, action, state });
          }
        }
      }
    },
  };
}

function createVendorMetrics(registers: Registers) {
  const total = new Counter({
    name: "restartd_vendor_requests_total",
    help: "Requests to configured clusters, sites and projects, by how they ended.",
    labelNames: ["system", "name", "result"],
    registers,
  });
  const duration = new Histogram({
    name: "restartd_vendor_request_duration_seconds",
    help: "How long requests to vendors took, by what was asked.",
    labelNames: ["system", "operation"],
    buckets: RPC_BUCKETS,
    registers,
  });
  const up = new Gauge({
    name: "restartd_vendor_up",
    help: "1 after an answer of any kind, 0 after none; absent before the first request.",
    labelNames: ["system", "name"],
    registers,
  });
  const expiry = new Gauge({
    name: "restartd_credentials_expiry_timestamp_seconds",
    help: "Until when a client certificate or token holds, where it says.",
    labelNames: ["system", "name"],
    registers,
  });
  const silent = new Set<string>(["timeout", "refused", "reset", "tls"]);
  const meter: Pick<Meter, "vendorRequest" | "credentialsExpire"> = {
    vendorRequest({ system, name, operation, result, durationMs }) {
      total.inc({ system, name, result });
      duration.observe({ system, operation }, durationMs / 1000);
      up.set({ system, name }, silent.has(result) ? 0 : 1);
    },
    credentialsExpire(system, name, at) {
      if (at === undefined) expiry.remove({ system, name });
      else expiry.set({ system, name }, at / 1000);
    },
  };
  return {
    meter,
    declare({ vendors }: Pick<Labels, "vendors">) {
      for (const { system, names, operations } of vendors) {
        for (const operation of names.length === 0 ? [] : operations) duration.zero({ system, operation });
        for (const name of names) for (const result of VENDOR_RESULTS) total.inc({ system, name, result }, 0);
      }
    },
  };
}

function createStoreMetrics(registers: Registers): Pick<Meter, "stored" | "storeUp" | "replicas"> {
  const duration = new Histogram({
    name: "restartd_store_operation_duration_seconds",
    help: "How long the store took.",
    labelNames: ["operation", "result"],
    buckets: STORE_BUCKETS,
    registers,
  });
  const uncertain = new Counter({
    name: "restartd_store_uncertain_commits_total",
    help: "Commits of which nobody knows whether they happened.",
    registers,
  });
  const up = new Gauge({ name: "restartd_store_up", help: "Whether the store can be used.", registers });
  const replicas = new Gauge({
    name: "restartd_replicas",
    help: "Processes that use the store and have said lately that they live, as this one sees them.",
    registers,
  });
  up.set(1);
  replicas.set(1);
  for (const operation of STORE_OPERATIONS) {
    for (const result of ["ok", "error", "uncertain"]) duration.zero({ operation, result });
  }
  return {
    stored(operation, result, durationMs) {
      duration.observe({ operation, result }, durationMs / 1000);
      if (result === "uncertain") uncertain.inc();
    },
    storeUp: (isUp) => up.set(isUp ? 1 : 0),
    replicas: (count) => replicas.set(count),
  };
}
