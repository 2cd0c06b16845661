import { readFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import type { Dispatcher } from "undici";
import { codeOf, isExhausted } from "../../../clouds/obstacles.ts";
import { formatProblem, type Problem } from "../../../core/problem.ts";
import { asCredentialsError, CredentialsError } from "./credentials-error.ts";
import { createExecPlugin, type ExecPlugin } from "./exec-plugin.ts";
import { createExpiry } from "./expiry.ts";
import { IN_CLUSTER, inClusterKubeconfig } from "./in-cluster.ts";
import { type Entry, readEntry } from "./kubeconfig-entry.ts";
import { kubeconfigPaths, type ReadFile, readKubeconfig } from "./kubeconfig-file.ts";
import { authoritiesIn, filesOf, type Material, materialOf } from "./material.ts";
import type { IdTokens } from "./oidc.ts";
import type { Transport } from "./transport.ts";

/** Which cluster, and as whom: one entry of the configuration. */
export type ClusterSource =
  | {
      readonly kubeconfig: string /** One path, or several as in $KUBECONFIG. */;
      readonly context?: string /** Default: the current one. */;
    }
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
  /** Authorization, and Impersonate-* where the kubeconfig says so. */
  readonly headers: ConnectionHeaders;
  /** Whether its pool speaks HTTP/1.1 alone. */
  readonly http1: boolean;
}

/** Headers of a request; one with a list stands several times, which HTTP/1.1 alone does. */
export type ConnectionHeaders = Readonly<Record<string, string | string[]>>;

/** Keeps the credentials of one cluster fresh. */
export interface Credentials extends AsyncDisposable {
  /**
   * The connection as of now, re-made when something that it is made of has changed. What cannot be read for a moment, because
   * somebody is writing it, is served as it was for {@link GRACE_MS}; then this rejects with {@link CredentialsError}.
   */
  connection(): Promise<Connection>;
  /** The server did not accept that connection's: all files are read, and a plugin is asked, anew for the next request. */
  rejected(connection: Connection): void;
}

/** What credentials are kept fresh with. */
export interface CredentialsOptions {
  /** A clock in milliseconds that never goes back. */
  readonly monotonic: () => number;
  /** The wall clock. */
  readonly now: () => Date;
  /** Told once when they cannot be read any more, with what is wrong, for the log. */
  readonly tell: (sentence: string) => void;
  /**
   * Whether requests are made in the names of callers: then a kubeconfig's user cannot act as somebody else itself, and HTTP/1.1 is
   * spoken. Default false.
   */
  readonly actsAsCallers?: boolean;
  /** Told until when (epoch ms) what a person has to renew holds, when that changes; undefined: it does not say. */
  readonly expires?: (at: number | undefined) => void;
}

/** For how long (ms) a look at files and plugins holds, whatever came of it: a rotated secret is in use this much later at most. */
const TRUST_MS = 1_000;

/** For how long (ms) the last credentials serve on while new ones cannot be read. */
const GRACE_MS = 10_000;

/** Bounds (ms) a look at files and plugins. A plugin that takes longer is killed. */
const LOOK_TIMEOUT_MS = 30_000;

/** A context as its kubeconfig says it, with what it has been given since. */
interface Loaded {
  /** What the kubeconfig files say. */
  readonly texts: ReadonlyMap<string, Uint8Array | Error>;
  readonly entry: Entry;
  readonly plugin: ExecPlugin | undefined;
  readonly idTokens: IdTokens | undefined;
}

/**
 * Opens a cluster's credentials: of a kubeconfig as the configuration was checked by, or of the pod's service account. Files are read
 * again when somebody asks, at most once a second.
 */
export function openCredentials(source: ClusterSource, options: CredentialsOptions): Credentials {
  const { monotonic, tell, expires = () => {}, actsAsCallers = false } = options;
  const expiry = createExpiry(expires);
  let loaded: Loaded | undefined;
  let pool: { transport: Transport; dispatcher: Dispatcher } | undefined;
  let look: { at: number; connection: Promise<Connection> } | undefined;
  let last: { at: number; connection: Connection } | undefined;
  let refused = false;
  let warned = false;
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
    const texts = await within(signal, textsOf(source));
    if (loaded === undefined || !isDeepStrictEqual(loaded.texts, texts)) {
      loaded = await load(source, texts, options);
    }
    const read = lookUp(await within(signal, readAll(filesOf(loaded.entry))));
    const problems: Problem[] = [];
    const material = materialOf(loaded.entry, read, process.env, problems);
    if (material === undefined) throw problemsError(problems);
    expiry(material, loaded.entry.proof.kind === "token");
    const proven = await within(signal, prove(loaded, material, read, signal, refused));
    const { headers } = proven;
    const http1 = actsAsCallers || Object.values(headers).some(Array.isArray);
    const transport: Transport = { ...proven.transport, http1 };
    refused = false;
    if (pool === undefined || !isDeepStrictEqual(pool.transport, transport)) {
      // Loading undici takes a while: not before a cluster is asked for.
      const { openTransport } = await import("./transport.ts");
      const next = { transport, dispatcher: openTransport(transport) };
      if (pool !== undefined) {
        retire(pool.dispatcher);
      }
      pool = next;
    }
    return { server: loaded.entry.server, dispatcher: pool.dispatcher, headers, http1 };
  };
  const lookAnew = async (previous: Promise<unknown>, at: number): Promise<Connection> => {
    await previous;
    try {
      const connection = await connect();
      last = { at, connection };
      warned = false;
      return connection;
    } catch (error) {
      const failure = asCredentialsError(error);
      if (!warned && !stop.signal.aborted) tell(failure.message);
      warned = true;
      if (last !== undefined && at - last.at <= GRACE_MS) {
        return last.connection;
      }
      throw failure;
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
        refused = true;
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

type Texts = ReadonlyMap<string, Uint8Array | Error>;

/** What kubeconfig files say, by their paths. */
async function textsOf(source: ClusterSource): Promise<Texts> {
  return "inCluster" in source
    ? new Map([[IN_CLUSTER, inClusterKubeconfig(source.root ?? "", process.env)]])
    : readAll(kubeconfigPaths(source.kubeconfig));
}

async function readAll(paths: readonly string[]): Promise<Texts> {
  const contents = paths.map(async (path) => {
    const content = await readFile(path).catch((error: Error) => {
      if (isExhausted(codeOf(error) ?? "")) throw error; // it says nothing of the file
      return error;
    });
    return [path, content] as const;
  });
  return new Map(await Promise.all(contents));
}

/** Gives files that have been read. */
function lookUp(texts: Texts): ReadFile {
  return (path) => {
    const content = texts.get(path);
    if (content instanceof Uint8Array) return content;
    throw content ?? new Error(`${path} was not read`);
  };
}

async function load(
  source: ClusterSource,
  texts: Texts,
  { monotonic, now, actsAsCallers }: CredentialsOptions,
): Promise<Loaded> {
  const kubeconfig = readKubeconfig([...texts.keys()], lookUp(texts));
  if (!("contexts" in kubeconfig)) throw problemsError(kubeconfig);
  const wanted = "inCluster" in source ? undefined : source.context;
  const context = wanted ?? kubeconfig.currentContext;
  const problems: Problem[] = [];
  const found = kubeconfig.contexts.includes(context ?? "") ? kubeconfig.find(context ?? "", problems) : undefined;
  const entry = found && readEntry(found, { problems, warnings: [] });
  if (entry === undefined || problems.length > 0) {
    throw problems.length > 0 ? problemsError(problems) : new CredentialsError(`there is no context ${context ?? ""}`);
  }
  if (actsAsCallers && entry.as !== undefined) {
    throw new CredentialsError("the user of the kubeconfig acts as somebody else, where callers are acted as");
  }
  const { proof } = entry;
  const idTokens =
    proof.kind === "oidc" ? (await import("./oidc.ts")).createIdTokens(proof.config, monotonic, now) : undefined;
  const plugin =
    proof.kind === "exec" ? createExecPlugin(proof.config, proof.at.document.folder, monotonic, now) : undefined;
  return { texts, entry, plugin, idTokens };
}

/** Adds to what is known what a plugin or a provider gives. */
async function prove(
  { entry, plugin, idTokens }: Loaded,
  { transport, caText, authorization }: Material,
  read: ReadFile,
  signal: AbortSignal,
  refused: boolean,
): Promise<{ transport: Transport; headers: ConnectionHeaders }> {
  const headers = (value: string | undefined) => ({
    ...(value !== undefined && { Authorization: value }),
    ...entry.as,
  });
  if (idTokens !== undefined) {
    const ca = entry.proof.kind === "oidc" && entry.proof.ca ? authoritiesIn(entry.proof.ca, read, []) : undefined;
    return { transport, headers: headers(`Bearer ${await idTokens({ signal, ca, refused })}`) };
  }
  if (plugin !== undefined) {
    const given = await plugin({ signal, cluster: clusterInfo(entry, caText), refused });
    const { token, clientCertificateData: cert, clientKeyData: key } = given;
    const certificate = cert && key ? { cert, key } : transport.certificate;
    return { transport: { ...transport, certificate }, headers: headers(token ? `Bearer ${token}` : undefined) };
  }
  return { transport, headers: headers(authorization) };
}

/** As client.authentication.k8s.io's Cluster. */
const clusterInfo = (
  { server, serverName, skipVerify, proxyUrl, execExtension }: Entry,
  caText: string | undefined,
) => ({
  server,
  "tls-server-name": serverName,
  "insecure-skip-tls-verify": skipVerify || undefined,
  "certificate-authority-data": caText && Buffer.from(caText, "latin1").toString("base64"),
  "proxy-url": proxyUrl,
  config: execExtension,
});

const problemsError = (problems: readonly Problem[]): CredentialsError =>
  new CredentialsError(problems.map(formatProblem).join("; "));

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
