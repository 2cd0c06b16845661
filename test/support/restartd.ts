import { randomUUID } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, createClient, createRouterTransport, type Interceptor } from "@connectrpc/connect";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { type Call, callKey, newCall } from "../../src/core/call.ts";
import { noMeter } from "../../src/core/meter.ts";
import type { Operations } from "../../src/core/operation.ts";
import { schemaOf } from "../../src/core/schema.ts";
import type { OpenTarget } from "../../src/core/target.ts";
import { noTracer } from "../../src/core/tracer.ts";
import { interceptors } from "../../src/interceptors/index.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import type { Timing } from "../../src/operations/records/timing.ts";
import { createRunner } from "../../src/operations/runner.ts";
import { IN_MEMORY, openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import type { Store } from "../../src/operations/store/store.ts";
import type { ClusterSource } from "../../src/targets/kubernetes/cluster/credentials.ts";
import { openKubernetes } from "../../src/targets/kubernetes/index.ts";

/** Some targets served in memory: everything but HTTP and the services of operations. */
export interface TargetsInMemory extends AsyncDisposable {
  /** A client of one of the targets' services. */
  clientOf<Service extends DescService>(service: Service): Client<Service>;
  /** Every call so far, in order, with what the log would say of it. */
  readonly calls: readonly Call[];
  /** Work that went on after its call was answered, in order. */
  readonly background: { readonly call: Call; readonly work: Promise<unknown> }[];
  /** Where its operations are. */
  readonly store: Promise<Store>;
}

/** What {@link targetsInMemory} can be told. */
export interface ServingOptions {
  /** Default: the process's clock. */
  readonly now?: () => Date;
  /** Milliseconds; default 60,000. */
  readonly deadlineMs?: number;
  /** How operations are looked after. Default: what was sent is not looked at, so that a test sees its own requests alone. */
  readonly timing?: Partial<Timing>;
}

/** restartd in memory, with clusters alone. */
export interface InMemory extends TargetsInMemory {
  readonly client: Client<typeof WorkloadService>;
}

/** What {@link restartdInMemory} can be told. */
export interface InMemoryOptions extends ServingOptions {
  /** The clusters by name. */
  readonly clusters: Readonly<Record<string, ClusterSource>>;
}

/** Nothing is looked at within an hour. */
const NO_LOOKS: Partial<Timing> = { firstLookMs: 3_600_000 };

/** Clusters named after the contexts of a kubeconfig. */
export const contextsOf = (kubeconfig: string, contexts: readonly string[]): Record<string, ClusterSource> =>
  Object.fromEntries(contexts.map((context) => [context, { kubeconfig, context }]));

/** Serves the Kubernetes target to a client in the same process. */
export function restartdInMemory({ clusters, ...options }: InMemoryOptions): InMemory {
  const settings = {
    fieldManager: "restartd",
    clusters: Object.entries(clusters).map(([name, source]) => ({ name, source })),
  };
  const served = targetsInMemory([(runtime) => openKubernetes(settings, runtime)], options);
  return { ...served, client: served.clientOf(WorkloadService) };
}

/** Serves targets to clients in the same process, through all interceptors; their operations are in memory. */
export function targetsInMemory(targets: readonly OpenTarget[], options: ServingOptions = {}): TargetsInMemory {
  const { now = () => new Date(), deadlineMs = 60_000, timing = NO_LOOKS } = options;
  const calls: Call[] = [];
  const background: TargetsInMemory["background"] = [];
  const clock = {
    now,
    monotonic: () => performance.now(),
    background: (call: Call, work: Promise<unknown>) => {
      work.catch(() => {}); // judged by the test that looks at it
      background.push({ call, work });
    },
  };
  const opening = openSqliteStore({ ...clock, path: IN_MEMORY, replica: randomUUID(), warn: () => {} }).then(
    async (store) => {
      const runner = createRunner({ ...clock, store, newId: randomUUID, timing });
      await runner.begin(open.flatMap(({ actions }) => actions));
      return { store, runner };
    },
  );
  const operations: Operations = {
    run: async (...call) => (await opening).runner.operations.run(...call),
    runAll: async (...call) => (await opening).runner.operations.runAll(...call),
  };
  const runtime = { ...clock, random: Math.random, warn: () => {}, operations, meter: noMeter, tracer: noTracer };
  const open = targets.map((target) => target(runtime));
  const routes = open.flatMap((target) => target.routes);
  const { registry } = schemaOf(routes.map(({ service }) => service));
  const router = {
    interceptors: [
      recordCalls(calls),
      ...interceptors({
        newId: randomUUID,
        shutdown: new AbortController().signal,
        deadline: { defaultMs: deadlineMs, maxMs: 600_000, abandoned: runtime.background },
        validator: newValidator(registry),
      }),
    ],
  };
  const transport = createRouterTransport(
    (connectRouter) => {
      for (const { register } of routes) {
        register(connectRouter, { reads: {}, mutations: { jsonOptions: { ignoreUnknownFields: false } } });
      }
    },
    { router },
  );
  return {
    clientOf: (service) => createClient(service, transport),
    calls,
    background,
    store: opening.then(({ store }) => store),
    async [Symbol.asyncDispose]() {
      const { store, runner } = await opening;
      await runner[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      for (const target of open.reverse()) await target[Symbol.asyncDispose]();
    },
  };
}

/** Does what the server does before any interceptor: makes the call's record. */
const recordCalls =
  (calls: Call[]): Interceptor =>
  (next) =>
    function recordCalls(req) {
      const call = newCall(randomUUID());
      calls.push(call);
      req.contextValues.set(callKey, call);
      return next(req);
    };
