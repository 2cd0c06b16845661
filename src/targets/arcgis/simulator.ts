import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { VendorReply } from "../../clouds/simulator/exchange.ts";
import { startVendorServer, type VendorServer, type VendorServerOptions } from "../../clouds/simulator/server.ts";
import type { Simulation } from "../../core/target.ts";
import { type AdminOptions, type AsyncForm, type JobSpelling, serveSite } from "./simulator/admin.ts";
import { type JobEnding, Jobs } from "./simulator/jobs.ts";
import { type ErrorShape, httpError } from "./simulator/replies.ts";
import { TokenService } from "./simulator/tokens.ts";
import { WorkClock } from "./simulator/work-clock.ts";
import { type SimulatedDeployment, sandboxWorld } from "./simulator/world.ts";

export type { AsyncForm, JobSpelling } from "./simulator/admin.ts";
export type { JobEnding } from "./simulator/jobs.ts";
export * as replies from "./simulator/replies.ts";
export { type SimulatedDeployment, sandboxWorld } from "./simulator/world.ts";

/** How a simulated site is; everything has a default. */
export interface ArcgisSimulatorOptions {
  /** What is there. Default the sandbox's. */
  readonly deployments?: readonly SimulatedDeployment[];
  /** Default `siteadmin`. */
  readonly username?: string;
  /** Default one that no other text contains. */
  readonly password?: string;
  /** Path before `/admin` and `/sharing`. Default `/context`. */
  readonly contextPath?: string;
  /** How long (ms) a refresh takes, be it a job or not. Default 0. */
  readonly jobMs?: number;
  /** The longest life (ms) of a token. Default an hour. */
  readonly tokenLifeMs?: number;
  /** Default `portal`. */
  readonly errorShape?: ErrorShape;
  /** Serves HTTPS with this key and certificate (PEM). Default HTTP. */
  readonly tls?: VendorServerOptions["tls"];
  /** The wall clock, in epoch ms. Default the machine's. */
  readonly now?: () => number;
}

/** A simulated ArcGIS Enterprise on Kubernetes, which also fails on demand as every {@link VendorServer}. */
export interface ArcgisSimulator extends VendorServer {
  readonly adminUrl: string;
  readonly tokenUrl: string;
  readonly username: string;
  /** The password in force; a new one leaves tokens valid that were given out. */
  password: string;
  /** How long (ms) the refreshes take that begin from now on. */
  jobMs: number;
  errorShape: ErrorShape;
  /** What it does with `async=true` from now on. At first `job`. */
  asyncForm: AsyncForm;
  /** Whether it takes no changes. Default false. */
  isReadOnly: boolean;
  /** How it spells the answer about a job from now on. At first `jobID`. */
  jobSpelling: JobSpelling;
  /** How often each deployment was refreshed, by its id. */
  readonly refreshes: ReadonlyMap<string, number>;
  /** Every token that was given out. */
  readonly tokens: readonly string[];
  /** Adds a deployment, or replaces it. */
  addDeployment(deployment: SimulatedDeployment): void;
  /** Has the refreshes of a deployment that nobody has seen ended, and later ones, end so. */
  endWith(deploymentId: string, ending: JobEnding): void;
  /** Revokes every token that was given out: they are answered with 498. */
  revokeTokens(): void;
  /** Forgets the jobs that have ended. */
  forgetJobs(): void;
  /** From now on no refresh goes on; {@link release} lets them. */
  hold(): void;
  /** Refreshes go on. */
  release(): void;
}

const HOUR_MS = 3_600_000;

/** What chaos answers, in the words of an ingress. */
const CHAOS: { serverError: VendorReply; throttled: VendorReply } = {
  serverError: httpError(503, "html"),
  throttled: { status: 429, headers: { "retry-after": "1" } },
};

/** What a simulated site is made of. */
interface Parts extends Pick<AdminOptions, "deployments" | "refreshes" | "jobs" | "tokens"> {
  readonly clock: WorkClock;
  readonly stopping: AbortController;
  /** What can be changed while it runs. */
  readonly settings: Pick<ArcgisSimulator, "jobMs" | "errorShape" | "asyncForm" | "jobSpelling" | "isReadOnly">;
}

/** Starts a simulated site on 127.0.0.1. */
export async function startArcgisSimulator(options: ArcgisSimulatorOptions = {}): Promise<ArcgisSimulator> {
  const { username = "siteadmin", contextPath = "/context", now = Date.now } = options;
  const clock = new WorkClock();
  const parts: Parts = {
    clock,
    stopping: new AbortController(),
    settings: {
      jobMs: options.jobMs ?? 0,
      errorShape: options.errorShape ?? "portal",
      asyncForm: "job",
      isReadOnly: false,
      jobSpelling: "jobID",
    },
    jobs: new Jobs(clock, now),
    deployments: new Map((options.deployments ?? sandboxWorld).map((one) => [one.deploymentId, one])),
    refreshes: new Map(),
    tokens: new TokenService({
      username,
      password: options.password ?? "pw-of-siteadmin-Zk4T",
      maxLifeMs: options.tokenLifeMs ?? HOUR_MS,
      now,
    }),
  };
  const admin: AdminOptions = {
    ...parts,
    contextPath,
    username,
    jobMs: () => parts.settings.jobMs,
    shape: () => parts.settings.errorShape,
    asyncForm: () => parts.settings.asyncForm,
    isReadOnly: () => parts.settings.isReadOnly,
    spelling: () => parts.settings.jobSpelling,
    url: () => server.url,
    stopping: parts.stopping.signal,
  };
  const server = await startVendorServer((request) => serveSite(request, admin), {
    changes: ({ method, path }) => method === "POST" && path.endsWith("/refresh"),
    chaosReplies: CHAOS,
    ...(options.tls !== undefined && { tls: options.tls }),
  });
  return simulatorOf(server, parts, username, `${server.url}${contextPath}`);
}

function simulatorOf(server: VendorServer, parts: Parts, username: string, root: string): ArcgisSimulator {
  const { clock, stopping, settings, jobs, deployments, refreshes, tokens } = parts;
  return {
    ...server,
    adminUrl: `${root}/admin`,
    tokenUrl: `${root}/sharing/rest/generateToken`,
    username,
    get password() {
      return tokens.password;
    },
    set password(password) {
      tokens.password = password;
    },
    get jobMs() {
      return settings.jobMs;
    },
    set jobMs(jobMs) {
      settings.jobMs = jobMs;
    },
    get errorShape() {
      return settings.errorShape;
    },
    set errorShape(shape) {
      settings.errorShape = shape;
    },
    get isReadOnly() {
      return settings.isReadOnly;
    },
    set isReadOnly(isReadOnly) {
      settings.isReadOnly = isReadOnly;
    },
    get asyncForm() {
      return settings.asyncForm;
    },
    set asyncForm(form) {
      settings.asyncForm = form;
    },
    get jobSpelling() {
      return settings.jobSpelling;
    },
    set jobSpelling(spelling) {
      settings.jobSpelling = spelling;
    },
    refreshes,
    get tokens() {
      return tokens.given;
    },
    addDeployment: (deployment) => void deployments.set(deployment.deploymentId, deployment),
    endWith: (deploymentId, ending) => jobs.endWith(deploymentId, ending),
    revokeTokens: () => tokens.revoke(),
    forgetJobs: () => jobs.forget(),
    hold: () => clock.stop(),
    release: () => clock.resume(),
    async [Symbol.asyncDispose]() {
      const closed = server[Symbol.asyncDispose]();
      stopping.abort(new Error("the simulator has ended"));
      await closed;
    },
  };
}

/** How long (ms) a refresh takes in the sandbox. */
const SANDBOX_JOB_MS = 3_000;

/** The sandbox's site. */
export async function simulate(folder: string): Promise<Simulation> {
  const simulator = await startArcgisSimulator({ jobMs: SANDBOX_JOB_MS });
  const file = join(folder, "arcgis-password");
  await writeFile(file, simulator.password, { mode: 0o600 });
  const { adminUrl, username } = simulator;
  const password = { source: { case: "file" as const, value: file } };
  return {
    sections: { arcgis: { sites: [{ name: "sandbox", adminUrl, username, password }] } },
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  };
}
