import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import type { DescService, Registry } from "@bufbuild/protobuf";
import { AccessService } from "../gen/restart/access/v1/access_service_pb.ts";
import { FreezeService } from "../gen/restart/access/v1/freeze_service_pb.ts";
import { OperationService } from "../gen/restart/operation/v1/operation_service_pb.ts";
import { ServerService } from "../gen/restart/server/v1/server_service_pb.ts";
import type { OpenAccess } from "./access/access.ts";
import { type Catalog, catalogOf } from "./access/catalog.ts";
import { createFreezeRoute } from "./access/freeze-service.ts";
import { createAccessRoute } from "./access/service.ts";
import type { WatchOptions } from "./admin/admin.ts";
import type { StoreSettings } from "./config/store.ts";
import type { TraceSettings } from "./config/telemetry.ts";
import type { Config } from "./config.ts";
import { loaded } from "./core/access.ts";
import { OVERRIDE_FREEZE } from "./core/freeze.ts";
import { noMeter } from "./core/meter.ts";
import { isMutating, type Route } from "./core/route.ts";
import { schemaOf } from "./core/schema.ts";
import type { OpenTarget, RunningTarget, Runtime } from "./core/target.ts";
import { noTracer, type Tracer } from "./core/tracer.ts";
import { VERSION } from "./core/version.ts";
import type { Health } from "./health/health.ts";
import type { FailpointHook } from "./operations/records/failpoint.ts";
import type { Timing } from "./operations/records/timing.ts";
import { createOperationRoutes } from "./operations/rpc/service.ts";
import { OPERATIONS_ACCESS } from "./operations/rpc/visible.ts";
import { createRunner } from "./operations/runner.ts";
import { meterStore } from "./operations/store/metered.ts";
import type { Store } from "./operations/store/store.ts";
import { createAboutRoute } from "./server/about.ts";
import { createBackground, describeCause, type Logger } from "./server/log.ts";
import { startServer } from "./server/server.ts";
import { Shutdown } from "./server/shutdown.ts";
import { openTls } from "./server/tls.ts";

/** What a whole server is made of. */
export interface ServeOptions {
  readonly config: Config<readonly OpenTarget[], OpenAccess | undefined>;
  readonly log: Logger;
  /** Whether the configuration's systems are simulated ones: callers are told. Default: they are not. */
  readonly sandbox?: boolean;
  /** Whether a SQLite store that was restored from a copy is meant to be used. Default: it is refused. */
  readonly acceptRestore?: boolean;
  /** The wall clock. Default: the machine's. */
  readonly now?: () => Date;
  /** How long things of operations take, where not by default. */
  readonly timing?: Partial<Timing>;
  /** What stands between operations and their store. Default: nothing. */
  readonly around?: (store: Store) => Store;
  /** Told of every failpoint that an operation reaches. */
  readonly failpoint?: FailpointHook;
}

/** A whole server at work: targets, operations with their store, and the port. */
export interface Served extends AsyncDisposable {
  /** Where it listens, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Where probes and metrics are served; undefined: nowhere. */
  readonly adminUrl: string | undefined;
  /** Loads what the first call would otherwise wait for. */
  warmUp(): Promise<void>;
  /**
   * Says that it is not ready, takes calls for `drain.delay` still, and drains then: see RunningServer.close. What is left over,
   * operations and their store last, ends with the dispose.
   *
   * @param limitMs Default: `drain.limit`.
   */
  close(limitMs?: number): Promise<boolean>;
}

/**
 * Assembles what a configuration says, and accepts calls.
 *
 * @throws StoreRefused when operations cannot be kept where the configuration says, and whatever hinders listening.
 */
export async function serve(options: ServeOptions): Promise<Served> {
  const { config, log, sandbox = false, acceptRestore = false, now = () => new Date() } = options;
  await using stack = new AsyncDisposableStack();
  const shutdown = new Shutdown();
  const monotonic = (): number => performance.now();
  const background = createBackground(shutdown, log);
  const targets: RunningTarget[] = [];
  // Whatever looks after operations asks the targets, so these end last, after the store that wakes it.
  stack.defer(async () => {
    for (const target of targets.reverse()) await target[Symbol.asyncDispose]();
  });
  const replica = randomUUID();
  const tracer = (await openTracing(config.traces, replica, log, stack)) ?? noTracer;
  const admin = stack.use(
    await openAdmin(config, {
      now,
      monotonic,
      onError: (error) => log.error({ cause: describeCause(error) }, "probes or metrics could not be answered"),
    }),
  );
  const meter = admin?.meter ?? noMeter;
  const { around = (given: Store) => given } = options;
  const opened = around(stack.use(await openStore(config.store, { replica, now, log, acceptRestore })));
  const store = admin === undefined ? opened : meterStore(opened, meter, monotonic);
  admin?.storeOpened(store);
  const storeHealth = createStoreHealth(log);
  const runner = stack.use(
    createRunner({
      store,
      now,
      monotonic,
      newId: randomUUID,
      background,
      calendar: config.calendar,
      tracer,
      timing: { retentionMs: config.store.retentionMs, ...options.timing },
      health: (available, cause) => {
        storeHealth.tell(available, cause);
        admin?.storeUsable(available);
      },
      onError: (error, what) =>
        log.warn({ detail: what, cause: describeCause(error) }, "work on operations failed; it is tried again"),
      ...(options.failpoint && { failpoint: options.failpoint }),
    }),
  );
  const runtime: Runtime = {
    now,
    monotonic,
    random: Math.random,
    warn: (message, fields) => log.warn({ ...fields, detail: message }, "a system is not as it should be"),
    background,
    operations: runner.operations,
    meter,
    tracer,
  };
  for (const open of config.targets) targets.push(open(runtime));
  await runner.begin(targets.flatMap(({ actions }) => actions));
  const access = config.access?.({
    now,
    monotonic,
    warn: (message) => log.warn({ detail: message }, "something is wrong with who may do what"),
  });
  if (access !== undefined) stack.use(access);
  const targetRoutes = targets.flatMap((target) => target.routes);
  const { catalog } = permissionsOf(targetRoutes.map(({ service }) => service));
  const { freezes } = runner;
  const routes = [
    createAboutRoute({ sandbox, systems: config.systems, access }),
    createAccessRoute(catalog, freezes, (principal) =>
      targets.flatMap((target) => target.impersonates?.(principal) ?? []),
    ),
    createFreezeRoute({ freezes, catalog, now }),
    ...targetRoutes,
    ...createOperationRoutes({
      store,
      now,
      output: (method) => runner.actionOf(method)?.method,
      rollUp: runner.rollUp,
      shutdown: shutdown.signal,
    }),
  ];
  const { deadline, allowedOrigins, listen, hosts } = config;
  const tls =
    config.tls?.kind === "certificate"
      ? stack.use(openTls(config.tls, { now, log, clients: access?.clients }))
      : undefined;
  const server = stack.use(
    await startServer({
      ...listen,
      routes,
      deadline,
      allowedOrigins,
      log,
      shutdown,
      meter,
      tracer,
      access,
      hosts,
      tls,
      shares: config.shares,
    }),
  );
  storeHealth.follow(server.health, routes);
  const actions = targets.flatMap((target) => target.actions);
  admin?.serving(server.services, {
    actions: actions.map(({ method, verbs }) => ({ method: `${method.parent.typeName}/${method.name}`, verbs })),
    vendors: targets.map(({ vendor }) => vendor),
  });
  const parts = stack.move();
  return {
    url: server.url,
    warmUp: async () => void (await Promise.all(targets.map((target) => target.warmUp()))),
    adminUrl: admin?.url,
    async close(limitMs = config.drain.limitMs) {
      admin?.draining();
      await setTimeout(config.drain.delayMs);
      return server.close(limitMs);
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** Probes and metrics, where the configuration asks for them: nothing of them is loaded otherwise. */
async function openAdmin(
  { admin, sha256 }: Pick<Config<unknown>, "admin" | "sha256">,
  options: Pick<WatchOptions, "now" | "monotonic" | "onError">,
) {
  if (admin === undefined) return undefined;
  const { startWatch } = await import("./admin/admin.ts");
  return startWatch({ listen: admin, configSha256: sha256, ...options });
}

/** Traces, where the configuration asks for them: nothing of them is loaded otherwise. */
async function openTracing(
  settings: TraceSettings | undefined,
  instance: string,
  log: Logger,
  stack: AsyncDisposableStack,
): Promise<Tracer | undefined> {
  if (settings === undefined) return undefined;
  const { startTracing } = await import("./telemetry/tracing.ts");
  const tell = (detail: string | undefined): void => {
    if (detail === undefined) log.info({}, "traces are delivered again");
    else log.warn({ detail }, "traces cannot be delivered: they are dropped");
  };
  return stack.use(startTracing(settings, { version: VERSION, instance, tell })).tracer;
}

/**
 * Every permission that there is, and what knows the requests that rules can look into.
 *
 * @param services what the targets serve.
 */
export function permissionsOf(services: readonly DescService[]): { catalog: Catalog; registry: Registry } {
  const all = [...services, OperationService, ServerService, AccessService, FreezeService];
  const others = [...Object.values(OPERATIONS_ACCESS), loaded(OVERRIDE_FREEZE)];
  return { catalog: catalogOf(all, others), registry: schemaOf(all).registry };
}

interface StoreContext {
  readonly replica: string;
  readonly now: () => Date;
  readonly log: Logger;
  readonly acceptRestore: boolean;
}

/** Opens the store; nothing of the other kind is loaded. */
async function openStore(settings: StoreSettings, { log, acceptRestore, ...context }: StoreContext): Promise<Store> {
  const warn = (message: string): void =>
    log.warn({ store: settings.kind, detail: message }, "the store has something to complain about");
  switch (settings.kind) {
    case "memory": {
      const { openSqliteStore } = await import("./operations/store/sqlite/open.ts");
      return openSqliteStore({ ...context, warn, path: ":memory:" });
    }
    case "sqlite": {
      const { openSqliteThread } = await import("./operations/store/sqlite/thread.ts");
      return openSqliteThread({ ...context, warn, path: settings.path, acceptRestore });
    }
    case "postgres": {
      const { openPostgresStore } = await import("./operations/store/postgres/open.ts");
      return openPostgresStore({ ...context, warn, url: settings.url });
    }
  }
}

/** Has health tell of the services that can do nothing without the store: those with a method that changes something. */
function createStoreHealth(log: Logger) {
  let available = true;
  let apply = (): void => {};
  return {
    tell(now: boolean, cause?: unknown): void {
      available = now;
      if (now) log.info({}, "the store can be used again");
      else log.error({ cause: describeCause(cause) }, "the store cannot be used: nothing is sent until it can");
      apply();
    },
    follow(health: Health, routes: readonly Route[]): void {
      const services = routes.filter(({ service }) => service.methods.some(isMutating));
      apply = () => {
        for (const { service } of services) health.set(service.typeName, available);
      };
      if (!available) apply();
    },
  };
}
