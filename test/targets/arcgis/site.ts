import { randomUUID } from "node:crypto";
import { type Client, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { DeploymentService } from "../../../gen/restart/arcgis/v1/deployment_service_pb.ts";
import { callKey, newCall, OPERATION_HEADER } from "../../../src/core/call.ts";
import { Failure } from "../../../src/core/errors.ts";
import { noMeter } from "../../../src/core/meter.ts";
import type { PrepareContext, SendContext } from "../../../src/core/operation.ts";
import { ANONYMOUS } from "../../../src/core/principal.ts";
import { schemaOf } from "../../../src/core/schema.ts";
import { noTracer } from "../../../src/core/tracer.ts";
import { interceptors } from "../../../src/interceptors/index.ts";
import { newValidator } from "../../../src/interceptors/validate.ts";
import { createRunner } from "../../../src/operations/runner.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import { IN_MEMORY, openSqliteStore } from "../../../src/operations/store/sqlite/open.ts";
import type { SiteSettings } from "../../../src/targets/arcgis/config.ts";
import { openArcgis } from "../../../src/targets/arcgis/index.ts";
import {
  type ArcgisSimulator,
  type ArcgisSimulatorOptions,
  startArcgisSimulator,
} from "../../../src/targets/arcgis/simulator.ts";

/** Deployments of the sandbox's world. */
export const FEATURES = "kvyxph9w5h3o9vgk8dixn";
export const STORE = "kcl3kjxkzpqxvqyr3eq9k";
export const SYSTEM = "kadm5n2q8w4r7t1y6u3zx";

/** What reaches a simulator. */
export const settingsOf = (simulator: ArcgisSimulator, changes: Partial<SiteSettings> = {}): SiteSettings => ({
  name: "gis",
  adminUrl: simulator.adminUrl,
  tokenUrl: simulator.tokenUrl,
  referer: "https://restartd.example.com/context",
  username: simulator.username,
  password: () => simulator.password,
  ca: undefined,
  ...changes,
});

/** What operations give an action for its checks, of a caller who has a minute. */
export const newAsking = (changes: Partial<PrepareContext> = {}): PrepareContext => ({
  call: newCall(randomUUID()),
  principal: ANONYMOUS,
  signal: new AbortController().signal,
  remainingMs: () => 60_000,
  validateOnly: false,
  warn: () => {},
  ...changes,
});

/** What operations give an action to send by; permits are counted, with the evidence of each. */
export function newSending(changes: Partial<SendContext> = {}): SendContext & { readonly permits: unknown[] } {
  const permits: unknown[] = [];
  return {
    ...newAsking(),
    operation: "operations/1",
    permit: async (evidence) => {
      permits.push(evidence);
      return () => {};
    },
    ...changes,
    permits,
  };
}

/** The failure that work ends in. */
export const failureOf = async (work: Promise<unknown>): Promise<Failure> => {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof Failure) return error;
  throw error ?? new Error("it did not fail");
};

/** Reason, outcome and operation of a call that failed. */
export const told = async (call: Promise<unknown>) => {
  const error = ConnectError.from(
    await call.then(
      () => new Error("it did not fail"),
      (thrown: unknown) => thrown,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  const operation = error.metadata.get(OPERATION_HEADER);
  return { code: error.code, reason: info?.reason, outcome: info?.metadata.outcome, operation };
};

/** The target with a simulated site `gis`, behind all interceptors, with operations in memory. */
export interface Started extends AsyncDisposable {
  readonly simulator: ArcgisSimulator;
  readonly client: Client<typeof DeploymentService>;
  /** Every operation, the newest first. */
  list(): Promise<readonly OperationRecord[]>;
  /** The newest operation once it is in one of these states. */
  until(...states: OperationRecord["state"][]): Promise<OperationRecord>;
}

/** How a {@link Started} is. */
export interface StartOptions extends ArcgisSimulatorOptions {
  readonly settings?: Partial<SiteSettings>;
  /** Replaces the action's. Default 50. */
  readonly settleMs?: number;
  /** Of every call, in ms. Default 60,000. */
  readonly deadlineMs?: number;
}

/** Starts one. */
export async function startSite({
  settings,
  settleMs = 50,
  deadlineMs = 60_000,
  ...options
}: StartOptions = {}): Promise<Started> {
  await using stack = new AsyncDisposableStack();
  const simulator = stack.use(await startArcgisSimulator(options));
  const now = (): Date => new Date();
  const monotonic = (): number => performance.now();
  const store = stack.use(await openSqliteStore({ path: IN_MEMORY, replica: "replica", now, warn: () => {} }));
  const background = (_call: unknown, work: Promise<unknown>): void => void work.catch(() => {});
  const runner = stack.use(
    createRunner({
      store,
      now,
      monotonic,
      newId: randomUUID,
      background,
      timing: { beatMs: 10, firstLookMs: 5, settleMs },
    }),
  );
  const { operations } = runner;
  const runtime = {
    now,
    monotonic,
    random: Math.random,
    warn: () => {},
    background,
    operations,
    meter: noMeter,
    tracer: noTracer,
  };
  const sites = [settingsOf(simulator, settings), settingsOf(simulator, { ...settings, name: "another" })];
  const target = stack.use(openArcgis({ sites, pollIntervalMs: 10 }, runtime));
  await runner.begin(target.actions);
  const transport = createRouterTransport(
    (router) => {
      for (const route of target.routes) route.register(router, { reads: {}, mutations: {} });
    },
    {
      router: {
        interceptors: [
          (next) => (req) => {
            req.contextValues.set(callKey, newCall(randomUUID()));
            return next(req);
          },
          ...interceptors({
            newId: randomUUID,
            shutdown: new AbortController().signal,
            deadline: { defaultMs: deadlineMs, maxMs: 600_000, abandoned: background },
            validator: newValidator(schemaOf([DeploymentService]).registry),
          }),
        ],
      },
    },
  );
  const list = () => store.list({ where: [], limit: 100 });
  const until: Started["until"] = async (...states) => {
    for (;;) {
      const { promise: changed, resolve } = Promise.withResolvers<void>();
      const unsubscribe = store.subscribe(() => resolve());
      const [newest] = await list();
      const found = newest !== undefined && states.includes(newest.state);
      if (!found) await changed;
      unsubscribe();
      if (found) return newest;
    }
  };
  const parts = stack.move();
  return {
    simulator,
    client: createClient(DeploymentService, transport),
    list,
    until,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}
