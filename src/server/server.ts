import { randomUUID } from "node:crypto";
import type { DescService } from "@bufbuild/protobuf";
import type { Authenticate } from "../access/authenticate.ts";
import { readLimits, type ShareSettings } from "../config/limits.ts";
import type { Authorizer } from "../core/access.ts";
import { newCall } from "../core/call.ts";
import { isLoopbackHost } from "../core/loopback.ts";
import { type Meter, noMeter } from "../core/meter.ts";
import type { Route } from "../core/route.ts";
import { schemaOf } from "../core/schema.ts";
import { noTracer, type Tracer } from "../core/tracer.ts";
import { createHealth, HEALTH_SERVICE, type Health } from "../health/health.ts";
import type { DeadlineLimits } from "../interceptors/deadline.ts";
import { interceptors } from "../interceptors/index.ts";
import { newValidator, warmUp } from "../interceptors/validate.ts";
import { createReflection, REFLECTION_SERVICES } from "../reflection/reflection.ts";
import { createAdapter } from "./adapter.ts";
import { type AdmissionLimits, createAdmission } from "./admission.ts";
import { answerClientError } from "./client-error.ts";
import { connectionsFor, descriptorLimit } from "./descriptors.ts";
import { endpointsOf } from "./endpoints.ts";
import { createGate } from "./gate.ts";
import { createBackground, type Logger, logCall } from "./log.ts";
import { createPages, type Pages } from "./pages.ts";
import { DEFAULT_PORT_LIMITS, Port, type PortLimits, urlOf } from "./port.ts";
import { createShares } from "./shares.ts";
import { Shutdown } from "./shutdown.ts";
import type { Tls } from "./tls.ts";

/** What a server serves, and to whom. */
export interface ServerOptions {
  /** Address to listen on: loopback, unless callers are asked who they are. */
  readonly host: string;
  /** Port to listen on; 0 picks one. */
  readonly port: number;
  /** Every service but health and reflection, which are derived from these. */
  readonly routes: readonly Route[];
  /** How long calls may take. */
  readonly deadline: DeadlineLimits;
  /** Origins whose web pages may call. */
  readonly allowedOrigins: readonly string[];
  /** Finds out who calls, and judges what they may do. Default: nobody is asked, and everybody may do everything. */
  readonly access?: { readonly authenticate: Authenticate; readonly authorizer: Authorizer } | undefined;
  /** Names that callers may use for the server. Default: those of loopback. */
  readonly hosts?: readonly string[];
  /** What connections are encrypted by. Default: they are not. */
  readonly tls?: Tls | undefined;
  /** What each caller may ask for. Default: as much as it likes. */
  readonly shares?: ShareSettings;
  /** Gets a line per call. */
  readonly log: Logger;
  /** Shared with whoever registers work that outlives its call. Default: the server's own. */
  readonly shutdown?: Shutdown;
  /** Most bytes of one request message, unpacked. Default 64 KiB. */
  readonly readMaxBytes?: number;
  /** A request message must have arrived after so many milliseconds. Default 30 s. */
  readonly bodyTimeoutMs?: number;
  /** Bounds of connections that shall be others than the defaults. */
  readonly limits?: Partial<PortLimits & AdmissionLimits>;
  /** What browsers are shown. Default: the console that `npm run generate` made. */
  readonly pages?: Pages;
  /** Makes ids of calls. Default: random UUIDs. */
  readonly newId?: () => string;
  /** Counts calls. Default: nobody does. */
  readonly meter?: Meter;
  /** Keeps track of calls. Default: nobody does. */
  readonly tracer?: Tracer;
}

/** A server that accepts calls. */
export interface RunningServer extends AsyncDisposable {
  /** Where, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** The port that it has. */
  readonly port: number;
  /** Where services say that they do not serve. */
  readonly health: Health;
  /** Every service that it serves, health and reflection among them. */
  readonly services: readonly DescService[];
  /**
   * Ends without cutting anything off: health says NOT_SERVING, new calls are refused, streams are told to end, calls under way and
   * their background work finish, connections are closed.
   *
   * @param limitMs after so many milliseconds whatever is left is cut off, and the log says so. Default 30 s.
   * @returns whether everything ended by itself.
   */
  close(limitMs?: number): Promise<boolean>;
}

/** Ten thousand watchers, and as many callers as memory has room for. */
const DEFAULT_ADMISSION: AdmissionLimits = { maxCalls: 2_000, maxStreams: 20_000 };

const DEFAULTS = { readMaxBytes: 64 * 1024, bodyTimeoutMs: 30_000, drainingBodyTimeoutMs: 1000, closeMs: 30_000 };

/** Connections have so many milliseconds to end after their last answer. */
const LINGER_MS = 500;

/**
 * Starts a server.
 *
 * @throws Error when the address is not loopback or cannot be listened on, or when a rule in the schema does not compile.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, log, newId = randomUUID, shutdown = new Shutdown() } = options;
  if (!isLoopbackHost(host) && options.access === undefined) {
    throw new Error(`cannot listen on ${host}: without authentication only loopback is listened on, such as 127.0.0.1`);
  }
  const health = createHealth(options.routes.map(({ service }) => service.typeName));
  shutdown.signal.addEventListener("abort", () => health.stop());
  const services = [...options.routes.map(({ service }) => service), HEALTH_SERVICE, ...REFLECTION_SERVICES];
  const schema = schemaOf(services);
  const validator = newValidator(schema.registry);
  warmUp(validator, services);
  const { registry } = schema;
  const readMaxBytes = options.readMaxBytes ?? DEFAULTS.readMaxBytes;
  const limits: PortLimits & AdmissionLimits = {
    ...DEFAULT_PORT_LIMITS,
    maxConnections: connectionsFor(descriptorLimit()),
    ...DEFAULT_ADMISSION,
    ...options.limits,
  };
  const adapter = createAdapter({
    endpoints: endpointsOf([...options.routes, health.route, ...createReflection(schema)], {
      interceptors: interceptors({
        newId,
        shutdown: shutdown.signal,
        deadline: { ...options.deadline, abandoned: createBackground(shutdown, log) },
        validator,
      }),
      registry,
      validator,
      readMaxBytes,
    }),
    admission: createAdmission(limits),
    gate: createGate(options.allowedOrigins, options.hosts),
    pages: options.pages ?? createPages(),
    access: options.access,
    shares: createShares(options.shares ?? readLimits(undefined), () => performance.now()),
    shutdown,
    deadline: options.deadline,
    bodyTimeoutMs: options.bodyTimeoutMs ?? DEFAULTS.bodyTimeoutMs,
    drainingBodyTimeoutMs: DEFAULTS.drainingBodyTimeoutMs,
    readMaxBytes,
    maxHeaderBytes: limits.maxHeaderBytes,
    stallMs: limits.stallMs,
    drainingStallMs: limits.drainingStallMs,
    registry,
    log,
    newId,
    meter: options.meter ?? noMeter,
    tracer: options.tracer ?? noTracer,
  });
  const open = new Port({ request: adapter, refused: createRefuser(log, newId) }, log, limits, options.tls);
  const port = await open.listen(host.replace(/^\[|\]$/g, ""), options.port);
  let closing: Promise<boolean> | undefined;
  const close = (limitMs: number): Promise<boolean> => {
    closing ??= drain(shutdown, open, log, limitMs);
    return closing;
  };
  return {
    url: urlOf(host, port, options.tls !== undefined),
    port,
    health,
    services,
    close: (limitMs = DEFAULTS.closeMs) => close(limitMs),
    async [Symbol.asyncDispose]() {
      await close(0);
    },
  };
}

async function drain(shutdown: Shutdown, port: Port, log: Logger, limitMs: number): Promise<boolean> {
  const left = await shutdown.drain(limitMs);
  if (left > 0) {
    log.warn({ calls: left, limit_ms: limitMs }, "shutting down took too long: calls were cut off");
  }
  await port.close(left > 0 ? 0 : LINGER_MS);
  return left === 0;
}

/** Answers what Node's parser of HTTP/1.1 refused, and logs it like a call. */
const createRefuser =
  (log: Logger, newId: () => string): ConstructorParameters<typeof Port>[0]["refused"] =>
  (error, socket, response) => {
    const started = performance.now();
    const call = newCall(newId());
    const peer =
      "remoteAddress" in socket && "remotePort" in socket ? `${socket.remoteAddress}:${socket.remotePort}` : "";
    // An answer that is being made is that of a call, which has its own line.
    if (answerClientError(error, socket, call, !response?.headersSent) && response === undefined) {
      logCall(log, call, { method: "", protocol: "http", http: "1.1", peer, durationMs: performance.now() - started });
    }
  };
