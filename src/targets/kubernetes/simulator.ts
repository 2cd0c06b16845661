import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Simulation } from "../../core/target.ts";
import { type SimulatorUser, standardUsers } from "./simulator/access.ts";
import { type Ambient, systemAmbient } from "./simulator/ambient.ts";
import { Controllers } from "./simulator/controllers.ts";
import { type Fault, FaultList, type InjectedFault, type RecordedRequest } from "./simulator/faults.ts";
import { clone, type JsonObject, type KubeObject } from "./simulator/json.ts";
import { kubeconfig } from "./simulator/kubeconfig.ts";
import { PodRuntime } from "./simulator/pod-runtime.ts";
import { type Creator, populate } from "./simulator/populate.ts";
import { Registry } from "./simulator/registry.ts";
import {
  builtInResources,
  type CustomResource,
  customResource,
  ResourceTable,
  rolloutResource,
} from "./simulator/resources.ts";
import { ApiServer, type TlsOptions } from "./simulator/server.ts";
import { Store } from "./simulator/store.ts";
import { Workshop } from "./simulator/workshop.ts";
import { emptyWorld, sandboxUser, sandboxWorld, type World } from "./simulator/world.ts";

export type { Rule, SimulatorUser } from "./simulator/access.ts";
export type { Fault, InjectedFault, RecordedRequest } from "./simulator/faults.ts";
export type { JsonObject, KubeObject } from "./simulator/json.ts";
export { readyAnnotation } from "./simulator/pod-runtime.ts";
export * as replies from "./simulator/replies.ts";
export type { CustomResource } from "./simulator/resources.ts";
export { StatusError } from "./simulator/status-errors.ts";
export { emptyWorld, sandboxUser, sandboxWorld, type World, workload } from "./simulator/world.ts";

/** How a simulated API server is. Everything has a default: an empty cluster on a free port. */
export interface SimulatorOptions {
  /** What is there at the start, rolled out and ready. Default {@link emptyWorld}: one node, the usual namespaces. */
  readonly world?: World;
  /** Further users; those of {@link standardUsers} are always there. */
  readonly users?: readonly SimulatorUser[];
  /** Custom resources beside Argo's rollouts. */
  readonly customResources?: readonly CustomResource[];
  /** Default true: `argoproj.io/v1alpha1` rollouts are served. */
  readonly rollouts?: boolean;
  /** Port on 127.0.0.1. Default 0: a free one. */
  readonly port?: number;
  /** Key and certificate (PEM): HTTPS with HTTP/2 and HTTP/1.1. Default plain HTTP/1.1. The certificate is its own CA. */
  readonly tls?: TlsOptions;
  /** Milliseconds that a pod takes to become ready, one after the other. Default 700. */
  readonly pace?: number;
  /** Milliseconds between bookmarks of a watch. Default 60000. */
  readonly bookmarkPeriod?: number;
  /** How a watch from an expired resourceVersion ends: an ERROR event in a 200 stream (default) or HTTP 410. */
  readonly expiredWatch?: "event" | "status";
  /** What `GET /version` says. Default `v1.36.3`. */
  readonly gitVersion?: string;
  /** Clock and identifiers. Default the machine's. */
  readonly ambient?: Ambient;
}

/** Something that can be held and let go. */
export interface Holdable {
  pause(): void;
  resume(): void;
}

/** A running simulated API server. */
export interface Simulator extends AsyncDisposable {
  /** Base address, such as `http://127.0.0.1:40123`. */
  readonly url: string;
  /** The newest requests (at most 2000), oldest first. */
  readonly requests: readonly RecordedRequest[];
  /** Open TCP connections. */
  readonly connections: number;
  /** Open watches. */
  readonly watches: number;
  /** What observes specs and writes statuses. */
  readonly controllers: Holdable;
  /** What makes pods ready and lets them go. */
  readonly pods: Holdable;
  /** Names of all users with a context in {@link kubeconfig}, `intruder` (an unknown token) included. */
  readonly users: readonly string[];
  /** The bearer token of a user; an unknown one for `intruder`. */
  token(user: string): string;
  /** A kubeconfig (JSON, which is YAML) with one context per user; `currentContext` defaults to `admin`. */
  kubeconfig(options?: { currentContext?: string; cluster?: string; namespace?: string }): string;
  /** Makes something go wrong; see {@link Fault}. */
  inject(fault: Fault): InjectedFault;
  /** Takes all faults away. */
  clearFaults(): void;
  /** Forgets the recorded requests. */
  clearRequests(): void;
  /** An object as it is stored, without a request: `get("apps", "deployments", "shop", "web")`. */
  get(group: string, plural: string, namespace: string, name: string): KubeObject | undefined;
  /** Changes an object without a request, as another client would; `edit` gets a copy. */
  edit(group: string, plural: string, namespace: string, name: string, edit: (object: KubeObject) => void): KubeObject;
  /** Creates an object without a request. */
  create(object: JsonObject): KubeObject;
  /** Deletes an object and makes it anew with another uid, as a GitOps tool that replaces does. */
  recreate(group: string, plural: string, namespace: string, name: string): KubeObject;
  /** Finishes at once every rollout that can finish. */
  settle(): void;
  /** Serves a further custom resource from now on. */
  addResource(resource: CustomResource): void;
  /** Serves a resource no more. */
  removeResource(group: string, plural: string): void;
  /** Forgets the past: older resourceVersions and continue tokens have expired. */
  compact(): void;
  /** Ends all watches: with a 410 ERROR event, or (default) with the end of the stream. */
  endWatches(way?: "expired" | "silent"): void;
  /** Resets all connections. */
  resetConnections(): void;
  /** Closes the port and every connection; nobody is there until {@link start}. */
  stop(): Promise<void>;
  /** Listens again on the same port, with the same data. */
  start(): Promise<void>;
  /** {@link stop} and {@link start}. `forget` (default true): the watch cache starts anew, so that older resourceVersions have expired. */
  restartServer(options?: { forget?: boolean }): Promise<void>;
}

function versionOf(gitVersion: string): JsonObject {
  const [major = "1", minor = "36"] = gitVersion.replace(/^v/, "").split(".");
  return {
    major,
    minor,
    gitVersion,
    gitCommit: "",
    gitTreeState: "clean",
    buildDate: "1970-01-01T00:00:00Z",
    goVersion: "go1.26.8",
    compiler: "gc",
    platform: "linux/amd64",
  };
}

/** Starts a simulated Kubernetes API server on 127.0.0.1. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const simulator = new RunningSimulator(options);
  await simulator.listen(options.port ?? 0);
  return simulator;
}

class RunningSimulator implements Simulator {
  readonly controllers: Controllers;
  readonly pods: PodRuntime;
  readonly #options: SimulatorOptions;
  readonly #store = new Store();
  readonly #faults = new FaultList();
  readonly #table: ResourceTable;
  readonly #registry: Registry;
  readonly #workshop: Workshop;
  readonly #creator: Creator;
  readonly #people: readonly SimulatorUser[];
  readonly #server: ApiServer;

  constructor(options: SimulatorOptions) {
    const ambient = options.ambient ?? systemAmbient;
    const store = this.#store;
    const table = new ResourceTable([
      ...builtInResources,
      ...(options.rollouts === false ? [] : [rolloutResource]),
      ...(options.customResources ?? []).map(customResource),
    ]);
    const registry = new Registry(store, table, ambient);
    const users = [...standardUsers, ...(options.users ?? [])];
    const watches = {
      bookmarkPeriod: options.bookmarkPeriod ?? 60_000,
      expiredWatch: options.expiredWatch ?? "event",
    };
    const version = versionOf(options.gitVersion ?? "v1.36.3");
    const routes = { store, registry, table, ambient, watches, version };
    this.#options = options;
    this.#table = table;
    this.#registry = registry;
    this.#workshop = new Workshop(store, table, ambient);
    this.controllers = new Controllers(this.#workshop, table);
    this.pods = new PodRuntime(this.#workshop, options.pace ?? 700);
    this.#creator = populate(registry, table, options.world ?? emptyWorld, () => this.settle());
    this.#people = users;
    this.#server = new ApiServer({ routes, faults: this.#faults, users, now: () => ambient.now(), tls: options.tls });
  }

  async listen(port: number): Promise<void> {
    await this.#server.listen(port);
    this.#table.address = `127.0.0.1:${this.#server.port}`;
  }

  get url(): string {
    return `${this.#options.tls === undefined ? "http" : "https"}://127.0.0.1:${this.#server.port}`;
  }

  get requests(): readonly RecordedRequest[] {
    return this.#server.requests;
  }

  get connections(): number {
    return this.#server.connections;
  }

  get watches(): number {
    return this.#server.watches;
  }

  get users(): readonly string[] {
    return [...this.#people.map((user) => user.name), "intruder"];
  }

  token(name: string): string {
    return this.#people.find((user) => user.name === name)?.token ?? `token-of-${name}`;
  }

  kubeconfig(options: { currentContext?: string; cluster?: string; namespace?: string } = {}): string {
    const { cluster = "simulator", ...rest } = options;
    return kubeconfig({ url: this.url, cluster, users: this.#people, ca: this.#options.tls?.cert, ...rest });
  }

  inject(fault: Fault): InjectedFault {
    return this.#faults.inject(fault);
  }

  clearFaults(): void {
    this.#faults.clear();
  }

  clearRequests(): void {
    this.#server.requests.splice(0);
  }

  get(group: string, plural: string, namespace: string, name: string): KubeObject | undefined {
    return this.#store.get(this.#workshop.resource(group, plural), namespace, name);
  }

  edit(group: string, plural: string, namespace: string, name: string, edit: (object: KubeObject) => void): KubeObject {
    const resource = this.#workshop.resource(group, plural);
    const object = clone(this.#registry.read({ resource, namespace, name }));
    edit(object);
    return this.#creator.store(resource, object);
  }

  create(object: JsonObject): KubeObject {
    return this.#creator.create(object);
  }

  recreate(group: string, plural: string, namespace: string, name: string): KubeObject {
    const resource = this.#workshop.resource(group, plural);
    const object = this.#registry.read({ resource, namespace, name });
    this.#store.remove(resource, namespace, name);
    return this.#creator.create({ ...object, metadata: this.#creator.bare(object) });
  }

  settle(): void {
    while (this.controllers.settle() || this.pods.settle());
  }

  addResource(resource: CustomResource): void {
    this.#table.add(customResource(resource));
  }

  removeResource(group: string, plural: string): void {
    this.#table.remove(group, plural);
  }

  compact(): void {
    this.#store.compact();
  }

  endWatches(way?: "expired" | "silent"): void {
    this.#server.endWatches(way);
  }

  resetConnections(): void {
    this.#server.resetConnections();
  }

  stop(): Promise<void> {
    return this.#server.close();
  }

  start(): Promise<void> {
    return this.#server.listen(this.#server.port);
  }

  async restartServer({ forget = true }: { forget?: boolean } = {}): Promise<void> {
    await this.stop();
    if (forget) this.compact();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.controllers.stop();
    this.pods.stop();
    await this.stop();
  }
}

/** Starts the sandbox's cluster (api.md §4), reached as the user `restartd` through a kubeconfig in `folder`. */
export async function simulate(folder: string): Promise<Simulation> {
  const simulator = await startSimulator({ world: sandboxWorld, users: [sandboxUser] });
  const path = join(folder, "sandbox.kubeconfig");
  const text = simulator.kubeconfig({ cluster: "sandbox", currentContext: sandboxUser.name, namespace: "shop" });
  await writeFile(path, text, { mode: 0o600 });
  return {
    sections: { kubernetes: { clusters: [{ name: "sandbox", source: { case: "kubeconfig", value: path } }] } },
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  };
}
