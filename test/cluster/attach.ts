import { spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { Agent, type Dispatcher, request as send } from "undici";
import type { Backend, BackendRequest, BackendResponse } from "../support/backend.ts";
import { remoteProcessControl } from "./control-socket.ts";
import type { Credential } from "./kubeconfig.ts";
import type { ProcessControl, ProcessName } from "./processes.ts";
import { userNames } from "./users.ts";

/** All that another process needs to use a control plane: plain JSON. Holds secrets that are worthless once it ended. */
export interface ControlPlaneInfo {
  readonly url: string;
  /** Path of the kubeconfig. */
  readonly kubeconfig: string;
  /** Scratch folder of the control plane: logs (`NAME.log`), `audit.log`, etcd's data, kubectl's cache. Removed with it. */
  readonly folder: string;
  /** Path of kubectl. */
  readonly kubectl: string;
  /** Path of the socket of its process control. */
  readonly controlSocket: string;
  /** PEM. */
  readonly ca: string;
  /** Credentials by context name. */
  readonly users: Readonly<Record<string, Credential>>;
}

/** What kubectl did. */
export interface KubectlResult {
  /** Exit code; 128 and more when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of {@link ControlPlane.kubectl}. */
export interface KubectlOptions {
  /** Context to act as. Default `admin`. */
  readonly user?: string;
  /** Written to its stdin. Default: nothing, closed. */
  readonly input?: string;
  /** Called with each piece of stdout as it comes, for commands that go on. */
  readonly onStdout?: (text: string) => void;
  /** Ends it by SIGTERM; the result is then what it said so far. */
  readonly signal?: AbortSignal;
}

/** One event of a watch. */
export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  readonly object: any;
}

/** A real Kubernetes control plane on loopback. */
export interface ControlPlane extends Backend {
  readonly name: "cluster";
  readonly info: ControlPlaneInfo;
  /** The single processes. `controllers`, `pods` and `restartServer` are the usual uses of it. */
  readonly processes: ProcessControl;
  /** Runs the real kubectl; never rejects because of its exit code. */
  kubectl(args: readonly string[], options?: KubectlOptions): Promise<KubectlResult>;
  /** The events of one watch request (`path` with its query, which says `watch=true`), until the server or `signal` ends it. */
  watch(path: string, signal?: AbortSignal): AsyncIterable<WatchEvent>;
}

/**
 * Uses a control plane that someone else started; its end is theirs. Disposing closes our connections alone.
 *
 * @param control Default: through {@link ControlPlaneInfo.controlSocket}.
 */
export function attach(
  info: ControlPlaneInfo,
  control: ProcessControl = remoteProcessControl(info.controlSocket),
): ControlPlane {
  const connections = new Connections(info);
  const request = (method: string, path: string, options?: BackendRequest) =>
    connections.request(method, path, options);
  const group = (...wanted: ProcessName[]) => {
    const each = async (action: "pause" | "resume") => {
      const status = await control.status();
      const present = wanted.filter((name) => status[name] !== undefined);
      await Promise.all(present.map((name) => control[action](name)));
    };
    return { pause: () => each("pause"), resume: () => each("resume") };
  };
  return {
    name: "cluster",
    info,
    kubeconfig: info.kubeconfig,
    url: info.url,
    users: userNames,
    processes: control,
    request,
    kubectl: (args, options) => runKubectl(info, args, options),
    watch: (path, signal) => connections.watch(path, signal),
    // Standing still rather than ended: they go on within milliseconds where a new kube-controller-manager needs seconds, there
    // are no leases to lose (--leader-elect=false), and a watch that broke meanwhile is taken up again by their informers.
    controllers: group("kube-controller-manager", "rollouts-controller"),
    pods: group("kwok"),
    async restartServer() {
      // A scheduler that loses its watches while pods come and go may call its cache corrupted and end itself.
      await control.stop("kube-scheduler");
      await control.stop("kube-apiserver");
      await connections.reset();
      await control.start("kube-apiserver");
      await untilReady(request);
      await control.start("kube-scheduler");
    },
    [Symbol.asyncDispose]: () => connections.reset(),
  };
}

/** Resolves when the API server says that it is ready. Rejects after 60 seconds, or with the reason of `signal`. */
export async function untilReady(request: Backend["request"], signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + 60_000;
  let last = "no answer";
  while (performance.now() < deadline) {
    signal?.throwIfAborted();
    try {
      const answer = await request("GET", "/readyz");
      if (answer.status === 200) return;
      last = `${answer.status} ${answer.body}`;
    } catch (error) {
      // Nobody listens yet.
      last = String(error);
    }
    await delay(50);
  }
  throw new Error(`the API server is not ready after 60 seconds: ${last}`);
}

/** Connections to the API server, one pool for bearer tokens and one for each client certificate. */
class Connections {
  readonly #info: ControlPlaneInfo;
  readonly #pools = new Map<string, Agent>();

  constructor(info: ControlPlaneInfo) {
    this.#info = info;
  }

  async request(method: string, path: string, options: BackendRequest = {}): Promise<BackendResponse> {
    const answer = await this.#send(method, path, options);
    const body = await answer.body.text();
    return { status: answer.statusCode, headers: answer.headers, body, json: () => JSON.parse(body) };
  }

  async *watch(path: string, signal?: AbortSignal): AsyncGenerator<WatchEvent> {
    const answer = await this.#send("GET", path, {}, signal);
    if (answer.statusCode !== 200) throw new Error(`GET ${path}: ${answer.statusCode} ${await answer.body.text()}`);
    let rest = "";
    for await (const piece of answer.body.setEncoding("utf8")) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line);
    }
  }

  /** Closes every connection; the next request opens new ones. */
  async reset(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  #send(method: string, path: string, options: BackendRequest, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    const credential = this.#credential(options.user ?? "admin");
    const headers: Record<string, string> = { ...options.headers };
    if ("token" in credential) headers.authorization = `Bearer ${credential.token}`;
    if (options.body !== undefined) headers["content-type"] = options.contentType ?? "application/json";
    return send(this.#info.url + path, {
      method,
      headers,
      dispatcher: this.#pool(credential),
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
      ...(signal && { signal }),
    });
  }

  #credential(user: string): Credential {
    const credential = this.#info.users[user];
    if (credential === undefined)
      throw new Error(`no user ${user}: there are ${Object.keys(this.#info.users).join(", ")}`);
    return credential;
  }

  #pool(credential: Credential): Agent {
    const id = "token" in credential ? "" : credential.cert;
    let pool = this.#pools.get(id);
    if (pool === undefined) {
      const identity = "token" in credential ? {} : credential;
      // A watch may be silent for as long as nothing changes.
      pool = new Agent({ connect: { ca: this.#info.ca, ...identity }, allowH2: false, bodyTimeout: 0 });
      this.#pools.set(id, pool);
    }
    return pool;
  }
}

async function runKubectl(
  info: ControlPlaneInfo,
  args: readonly string[],
  options: KubectlOptions = {},
): Promise<KubectlResult> {
  const child = spawn(info.kubectl, [...args, ...(options.user ? ["--context", options.user] : [])], {
    stdio: "pipe",
    env: { KUBECONFIG: info.kubeconfig, HOME: info.folder, PATH: process.env.PATH },
  });
  const output = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output.stdout += text;
    options.onStdout?.(text);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    output.stderr += text;
  });
  const abort = () => child.kill("SIGTERM");
  options.signal?.addEventListener("abort", abort);
  if (options.signal?.aborted) abort();
  child.stdin.end(options.input);
  try {
    const code = await new Promise<number>((resolve, reject) => {
      child.once("error", reject).once("close", (status) => resolve(status ?? 128));
    });
    return { code, ...output };
  } finally {
    options.signal?.removeEventListener("abort", abort);
  }
}
