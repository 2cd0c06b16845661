import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { Cluster, User } from "@kubernetes/client-node";
import type { Dispatcher } from "undici";
import { parse } from "yaml";
import { isLoopbackHost } from "../../../core/loopback.ts";
import { asCredentialsError, CredentialsError } from "./credentials-error.ts";
import { createExecPlugin, type ExecConfig, type ExecCredential, type ExecPlugin } from "./exec-plugin.ts";
import type { ClusterKubeConfig } from "./kube-config.ts";

/** Which cluster, and as whom: one entry of the configuration. */
export type ClusterSource =
  | { readonly kubeconfig: string /** Default: the file's current one. */; readonly context?: string }
  | {
      readonly inCluster: true /** Stands before the service account's fixed paths. Default none; for tests. */;
      readonly root?: string;
    };

/** What a request needs to reach its API server. */
export interface Connection {
  /** Base address. */
  readonly server: string;
  /** One pool of connections; HTTP/2 where the server speaks it. */
  readonly dispatcher: Dispatcher;
  /** Authorization, and Impersonate-User where the kubeconfig says so. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Keeps the credentials of one cluster fresh. */
export interface Credentials extends AsyncDisposable {
  /**
   * The connection as of now, re-made when something that it is made of has changed. What cannot be read for a moment, because
   * somebody is writing it, is served as it was for {@link GRACE_MS}; then this rejects with {@link CredentialsError}.
   */
  connection(): Promise<Connection>;
  /** The server did not accept that connection's: all files are read, and an exec plugin is asked, anew for the next request. */
  rejected(connection: Connection): void;
}

/** For how long (ms) a look at files and plugins holds, whatever came of it: a rotated secret is in use this much later at most. */
const TRUST_MS = 1_000;

/** For how long (ms) the last credentials serve on while new ones cannot be read. */
const GRACE_MS = 10_000;

/** Bounds (ms) a look at files and plugins. A plugin that takes longer is killed. */
const LOOK_TIMEOUT_MS = 30_000;

interface Loaded {
  readonly config: ClusterKubeConfig;
  readonly cluster: Cluster;
  readonly user: User;
  /** What the kubeconfig file says. */
  readonly text: string;
  readonly tokenFile: string | undefined;
  readonly plugin: ExecPlugin | undefined;
}

/** The parts of a kubeconfig that KubeConfig leaves out. */
interface Extras {
  readonly tokenFile?: string;
  readonly "as-groups"?: unknown;
  readonly "as-uid"?: unknown;
  readonly "as-user-extra"?: unknown;
}

/**
 * Opens a cluster's credentials. KubeConfig reads them: tokens, certificates, basic authentication, OIDC, proxies, the in-cluster
 * service account. Token files are read here, because KubeConfig knows kubeconfig's `tokenFile` under another name, keeps the line
 * end of a token, and a rotated one for a minute too long; exec plugins are run here for the reasons of {@link createExecPlugin}.
 *
 * @param monotonic a clock in milliseconds that never goes back.
 * @param now the wall clock.
 */
export function openCredentials(source: ClusterSource, monotonic: () => number, now: () => Date): Credentials {
  let loaded: Loaded | undefined;
  let pool: { transport: unknown; dispatcher: Dispatcher } | undefined;
  let look: { at: number; connection: Promise<Connection> } | undefined;
  let last: { at: number; connection: Connection } | undefined;
  let turn: Promise<unknown> = Promise.resolve();
  const stop = new AbortController();
  const retired = new Set<Dispatcher>();

  const retire = (dispatcher: Dispatcher) => {
    retired.add(dispatcher);
    // Its requests and watches finish; whether by an answer or an error is theirs to say.
    const forget = () => retired.delete(dispatcher);
    dispatcher.close().then(forget, forget);
  };
  const connect = async (): Promise<Connection> => {
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(LOOK_TIMEOUT_MS)]);
    signal.throwIfAborted();
    const text = "inCluster" in source ? "" : await readFile(source.kubeconfig, "utf8");
    if (loaded?.text !== text) {
      loaded = await load(source, text, now);
    }
    const { config, cluster, user, tokenFile, plugin } = loaded;
    config.loadFromClusterAndUser(cluster, {
      ...user,
      ...(tokenFile !== undefined && { token: await readToken(tokenFile) }),
      ...(plugin !== undefined && asUser(await plugin(signal))),
    });
    const { headers, transport, dispatcher } = await within(signal, config.authenticate(cluster.server));
    if (pool === undefined || !isDeepStrictEqual(pool.transport, transport)) {
      const next = { transport, dispatcher: dispatcher() };
      if (pool !== undefined) {
        retire(pool.dispatcher);
      }
      pool = next;
    }
    return { server: cluster.server, dispatcher: pool.dispatcher, headers };
  };
  const lookAnew = async (previous: Promise<unknown>, at: number): Promise<Connection> => {
    await previous;
    try {
      const connection = await connect();
      last = { at, connection };
      return connection;
    } catch (error) {
      if (last !== undefined && at - last.at <= GRACE_MS) {
        return last.connection;
      }
      throw asCredentialsError(error);
    }
  };
  return {
    connection() {
      const at = monotonic();
      if (look === undefined || at - look.at > TRUST_MS) {
        const connection = lookAnew(turn, at);
        turn = connection.catch(() => {}); // it is told to whoever asked
        look = { at, connection };
      }
      return look.connection;
    },
    rejected({ headers, dispatcher }) {
      if (dispatcher === last?.connection.dispatcher && isDeepStrictEqual(headers, last.connection.headers)) {
        look = undefined;
        last = undefined;
        loaded = undefined;
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort(new CredentialsError("the cluster is closed"));
      await turn;
      const dispatchers = [...retired, ...(pool === undefined ? [] : [pool.dispatcher])];
      await Promise.all(dispatchers.map((dispatcher) => dispatcher.destroy()));
    },
  };
}

async function load(source: ClusterSource, text: string, now: () => Date): Promise<Loaded> {
  // Loading the library takes most of a second: not before a cluster is asked for.
  const { ClusterKubeConfig } = await import("./kube-config.ts");
  const config = new ClusterKubeConfig();
  if ("inCluster" in source) {
    config.loadFromCluster(source.root);
    const { cluster, user } = currentOf(config);
    const { authProvider, ...rest } = user;
    // KubeConfig takes some ports for plain http, over which our token would go in the clear.
    const server = cluster.server.replace(/^http:/, "https:");
    return {
      config,
      cluster: { ...cluster, server },
      user: rest,
      text,
      tokenFile: authProvider?.config.tokenFile,
      plugin: undefined,
    };
  }
  const folder = dirname(source.kubeconfig);
  const document = parseKubeconfig(text);
  config.loadFromString(JSON.stringify(document));
  config.makePathsAbsolute(folder);
  if (source.context !== undefined) {
    config.setCurrentContext(source.context);
  }
  const { cluster, user } = currentOf(config);
  requireSafeAddress(cluster.server);
  const extras = document.users?.find(({ name }) => name === user.name)?.user ?? {};
  if (extras["as-groups"] ?? extras["as-uid"] ?? extras["as-user-extra"]) {
    throw new CredentialsError(
      `user ${user.name} impersonates with as-groups, as-uid or as-user-extra; only as is supported`,
    );
  }
  const { exec, ...rest } = user;
  return {
    config,
    cluster,
    user: rest,
    text,
    // It takes precedence over `token`.
    tokenFile: extras.tokenFile ? resolve(folder, extras.tokenFile) : undefined,
    plugin: exec ? createExecPlugin(exec as ExecConfig, folder, clusterInfo(cluster), now) : undefined,
  };
}

function currentOf(config: ClusterKubeConfig): { cluster: Cluster; user: User } {
  const cluster = config.getCurrentCluster();
  const user = config.getCurrentUser();
  if (cluster === null || user === null) {
    throw new CredentialsError(`context ${config.getCurrentContext()} has no cluster or no user`);
  }
  return { cluster, user };
}

function parseKubeconfig(text: string): { users?: { name: string; user?: Extras }[] } {
  try {
    return parse(text) ?? {};
  } catch {
    throw new CredentialsError("the kubeconfig is not YAML"); // the error quotes lines of it
  }
}

/** The configuration was checked when we started; this file may be newer. */
function requireSafeAddress(server: string): void {
  const url = URL.parse(server);
  if (url?.protocol !== "https:" && !(url?.protocol === "http:" && isLoopbackHost(url.hostname))) {
    throw new CredentialsError("the server's address is neither https nor on loopback");
  }
}

async function readToken(file: string): Promise<string> {
  const token = (await readFile(file, "utf8")).trim();
  if (token === "") {
    throw new CredentialsError(`the token file ${file} is empty`);
  }
  return token;
}

/** As client.authentication.k8s.io's Cluster. */
const clusterInfo = ({ server, tlsServerName, skipTLSVerify, caData, proxyUrl }: Cluster) => ({
  server,
  "tls-server-name": tlsServerName,
  "insecure-skip-tls-verify": skipTLSVerify || undefined,
  "certificate-authority-data": caData,
  "proxy-url": proxyUrl,
});

function asUser({ token, clientCertificateData, clientKeyData }: ExecCredential): Partial<User> {
  const base64 = (pem: string) => Buffer.from(pem).toString("base64");
  return {
    ...(token && { token }),
    ...(clientCertificateData &&
      clientKeyData && { certData: base64(clientCertificateData), keyData: base64(clientKeyData) }),
  };
}

async function within<Result>(signal: AbortSignal, work: Promise<Result>): Promise<Result> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
