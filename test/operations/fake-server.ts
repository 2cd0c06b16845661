import { randomUUID } from "node:crypto";
import { ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { ErrorInfoSchema, ResourceInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { InstanceService } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { type Call, callKey, newCall, OPERATION_HEADER } from "../../src/core/call.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { type Principal, principalKey } from "../../src/core/principal.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { interceptors } from "../../src/interceptors/index.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import type { Failpoint } from "../../src/operations/records/failpoint.ts";
import type { Timing } from "../../src/operations/records/timing.ts";
import { createRunner } from "../../src/operations/runner.ts";
import type { Change, OperationRecord } from "../../src/operations/store/record.ts";
import { IN_MEMORY, openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import { type Store, UncertainCommit } from "../../src/operations/store/store.ts";
import { createFakeAction, createFakeVendor, type VendorOptions } from "../support/fake-action.ts";
import { createFakeBatch, type FakeBatchOptions } from "../support/fake-batch.ts";

/** What a {@link startFake} can be told. */
export interface Options extends Omit<FakeBatchOptions, "vendor" | "reach">, Omit<VendorOptions, "monotonic"> {
  /** Default: the embedded store, in memory. */
  readonly open?: (context: { readonly now: () => Date; readonly monotonic: () => number }) => Promise<Store>;
  readonly timing?: Partial<Timing>;
  /** Of every call, in ms. Default 60,000. */
  readonly deadlineMs?: number;
  /** Who calls. Default: nobody is asked. */
  readonly principal?: Principal;
  /** Called at every failpoint, and at those of the action. */
  readonly at?: (point: Failpoint | "permitted" | "answered") => Promise<void> | void;
}

const openSqlite: NonNullable<Options["open"]> = (context) =>
  openSqliteStore({ path: IN_MEMORY, replica: "replica", warn: () => {}, ...context });

/** Restarts of a fake vendor, through all interceptors, with the embedded store in memory. */
export async function startFake(options: Options = {}) {
  const clock = { skewMs: 0, aheadMs: 0 };
  const now = (): Date => new Date(Date.now() + clock.skewMs);
  const monotonic = (): number => performance.now() + clock.aheadMs;
  const kept = await (options.open ?? openSqlite)({ now, monotonic });
  const { store, faults, beats } = withFaults(kept);
  const vendor = createFakeVendor({ monotonic, ...options });
  const calls: Call[] = [];
  const background: Promise<unknown>[] = [];
  const health: boolean[] = [];
  const at = async (point: Failpoint | "permitted" | "answered"): Promise<void> => options.at?.(point);
  const action = createFakeAction({ ...options, vendor, failpoint: at });
  const batch = createFakeBatch({ ...options, vendor, failpoint: at });
  const later = (_call: Call, work: Promise<unknown>): void => {
    background.push(work.catch(() => {})); // judged by what is stored
  };
  const runner = createRunner({
    store,
    now,
    monotonic,
    newId: randomUUID,
    background: later,
    health: (available) => health.push(available),
    failpoint: at,
    timing: { beatMs: 10, firstLookMs: 5, sendWindowMs: 2_000, ...options.timing },
  });
  await runner.begin([action, batch]);
  const transport = createRouterTransport(
    ({ service }) => {
      service(WorkloadService, { restart: (request, context) => runner.operations.run(action, request, context) });
      service(InstanceService, {
        restartInstances: (request, context) => runner.operations.runAll(batch, request, context),
      });
    },
    {
      router: {
        interceptors: [
          (next) => (req) => {
            const call = newCall(randomUUID());
            calls.push(call);
            req.contextValues.set(callKey, call);
            if (options.principal !== undefined) req.contextValues.set(principalKey, options.principal);
            return next(req);
          },
          ...interceptors({
            newId: randomUUID,
            shutdown: new AbortController().signal,
            deadline: { defaultMs: options.deadlineMs ?? 60_000, maxMs: 600_000, abandoned: later },
            validator: newValidator(schemaOf([WorkloadService, InstanceService]).registry),
          }),
        ],
      },
    },
  );
  const client = createClient(WorkloadService, transport);
  const instances = createClient(InstanceService, transport);
  const get = async (name: string): Promise<OperationRecord> => {
    const record = await kept.get(name);
    if (record === undefined) throw new Error(`there is no ${name}`);
    return record;
  };
  /** Waits until an operation is in one of these states. */
  const until = async (name: string, ...states: OperationState[]): Promise<OperationRecord> => {
    for (;;) {
      const { promise: changed, resolve } = Promise.withResolvers<void>();
      const unsubscribe = kept.subscribe(() => resolve());
      const record = await get(name);
      if (!states.includes(record.state)) await changed;
      unsubscribe();
      if (states.includes(record.state)) return record;
    }
  };
  const list = () => kept.list({ where: [], limit: 100 });
  const events = async (name: string) => (await kept.audit(name)).map(({ event, to }) => `${event}: ${to}`);
  const dispose = async (): Promise<void> => {
    await runner[Symbol.asyncDispose]();
    await store[Symbol.asyncDispose]();
  };
  return {
    [Symbol.asyncDispose]: dispose,
    client,
    instances,
    runner,
    store: kept,
    faults,
    beats,
    vendor,
    calls,
    background,
    health,
    clock,
    until,
    get,
    list,
    events,
  };
}

/** What a test has the store do: reject before or after it has committed. */
interface Faults {
  insert: "before" | "after" | undefined;
  /** Which changes fail. */
  change: ((change: Change) => "before" | "after" | undefined) | undefined;
  /** Whether operations and their parts cannot be read by their names. */
  get: boolean;
}

function withFaults(kept: Store) {
  const faults: Faults = { insert: undefined, change: undefined, get: false };
  let count = 0;
  let waiting: { until: number; resolve: () => void }[] = [];
  const away = (): never => {
    throw new UncertainCommit("the store is away");
  };
  const store: Store = {
    ...kept,
    insert: async (...args) => {
      const fault = faults.insert;
      if (fault === "before") away();
      const inserted = await kept.insert(...args);
      return fault === "after" ? away() : inserted;
    },
    change: async (before, change, event) => {
      const fault = faults.change?.(change);
      if (fault === "before") away();
      const changed = await kept.change(before, change, event);
      return fault === "after" ? away() : changed;
    },
    get: async (name) => (faults.get ? away() : kept.get(name)),
    children: async (name) => (faults.get ? away() : kept.children(name)),
    beat: async () => {
      count++;
      for (const { until, resolve } of waiting) if (count >= until) resolve();
      waiting = waiting.filter(({ until }) => count < until);
      return kept.beat();
    },
  };
  /** Waits until so many rounds of looking after operations have been made whole. */
  const beats = (more: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push({ until: count + more + 1, resolve });
    return promise;
  };
  return { store, faults, beats };
}

const REQUEST = { cluster: "one", group: "apps", version: "v1", resource: "deployments", namespace: "shop" };
/** A request for the same target each time. */
export const web = (requestId = "", part: { reason?: string; validateOnly?: boolean } = {}) => ({
  ...REQUEST,
  name: "web",
  requestId,
  ...part,
});

/** What {@link startFake} gives. */
export type Started = Awaited<ReturnType<typeof startFake>>;

/** Restarts, and answers the operation's name. */
export async function restart({ client }: Started, ...[request, options]: Parameters<Started["client"]["restart"]>) {
  let name = "";
  await client.restart(request, {
    ...options,
    onHeader: (header) => {
      name = header.get(OPERATION_HEADER) ?? "";
    },
  });
  return name;
}

/** Why a call failed, as its caller sees it. */
export async function failure(call: Promise<unknown>) {
  const error = ConnectError.from(
    await call.then(
      () => new Error("it did not fail"),
      (reason: unknown) => reason,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason,
    metadata: info?.metadata,
    operation: error.metadata.get(OPERATION_HEADER) ?? "",
    resources: error
      .findDetails(ResourceInfoSchema)
      .map(({ resourceType, resourceName }) => [resourceType, resourceName]),
    retries: error.findDetails(RetryInfoSchema).length > 0,
  };
}
