import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { type DescMessage, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import { type CallOptions, Code, ConnectError } from "@connectrpc/connect";
import { expect } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  PreconditionFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../../../gen/google/rpc/error_details_pb.ts";
import type { RestartRequestSchema } from "../../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import type { Reason } from "../../../../src/core/errors.ts";
import { describeCause } from "../../../../src/server/log.ts";
import type { Backend } from "../../../support/backend.ts";
import { contextsOf, type InMemory, type InMemoryOptions, restartdInMemory } from "../../../support/restartd.ts";
import { openWiretap, type Wiretap } from "../../../support/wiretap.ts";

/** One API server, a namespace of its own on it, and restartd in front of it. */
export interface World extends AsyncDisposable {
  readonly backend: Backend;
  readonly namespace: string;
  readonly tap: Wiretap;
  /** Its clusters are the users of the backend, each reached through the tap, and `impersonator`. */
  readonly tapped: InMemory;
  /** The same without the tap: TLS and HTTP/2 where the backend speaks them. */
  readonly direct: InMemory;
  /** Another restartd through the tap, which remembers nothing. Closed with the world. */
  another(options?: Partial<InMemoryOptions>): InMemory;
}

/** How a test gets at its world, which is there once it runs. */
export type TheWorld = () => World;

/** Fields 2 to 6 of a request. */
export interface Ref {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
}

/** An object of a test. */
export interface Made {
  readonly ref: Ref;
  readonly path: string;
  /** The object as the API server has it. */
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  read(): Promise<any>;
  /** Changes it as its owner would. */
  merge(patch: unknown): Promise<void>;
  /** The restart in place. */
  restartedAt(): Promise<string | undefined>;
  generation(): Promise<number>;
}

/** What a caller is told of a call: `code` is `ok` or a Connect code, `details` the messages beside ErrorInfo. */
export interface Told {
  readonly code: string;
  readonly message?: string;
  readonly reason?: string;
  readonly outcome?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly warnings: readonly string[];
}

/** Planted in every object: it must never be told to a caller or a log. */
export const SECRET = "s3cr3t-that-nobody-may-tell";

/** Opens a world on a backend. */
export async function openWorld(backend: Backend): Promise<World> {
  await using cleanup = new AsyncDisposableStack();
  const namespace = `rows-${randomBytes(4).toString("hex")}`;
  await must(backend, "POST", "/api/v1/namespaces", {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: namespace },
  });
  cleanup.defer(async () => void (await backend.request("DELETE", `/api/v1/namespaces/${namespace}`)));
  const tap = cleanup.use(await openWiretap(backend));
  const users = ["admin", ...backend.users];
  const another = (options: Partial<InMemoryOptions> = {}): InMemory =>
    cleanup.use(restartdInMemory({ clusters: contextsOf(tap.kubeconfig, [...users, "impersonator"]), ...options }));
  const tapped = another();
  const direct = cleanup.use(restartdInMemory({ clusters: contextsOf(backend.kubeconfig, users) }));
  const owned = cleanup.move();
  return {
    backend,
    namespace,
    tap,
    tapped,
    direct,
    another: (options = {}) => {
      const more = restartdInMemory({ clusters: contextsOf(tap.kubeconfig, [...users, "impersonator"]), ...options });
      return owned.use(more);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

const KINDS = {
  deployments: { group: "apps", version: "v1", kind: "Deployment" },
  statefulsets: { group: "apps", version: "v1", kind: "StatefulSet" },
  daemonsets: { group: "apps", version: "v1", kind: "DaemonSet" },
  replicasets: { group: "apps", version: "v1", kind: "ReplicaSet" },
  rollouts: { group: "argoproj.io", version: "v1alpha1", kind: "Rollout" },
} as const;

/** Changes to the object that {@link make} makes. */
export interface MakeOptions {
  readonly name?: string;
  readonly namespace?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly spec?: Readonly<Record<string, unknown>>;
  /** Of the pod template. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Value of the container's variable; default {@link SECRET}. */
  readonly secret?: string;
}

/** Creates a workload with one replica (a DaemonSet: on no node), with {@link SECRET} in its pods' environment. */
export async function make(world: World, resource: keyof typeof KINDS, options: MakeOptions = {}): Promise<Made> {
  const { group, version, kind } = KINDS[resource];
  const name = options.name ?? `o-${randomBytes(5).toString("hex")}`;
  const ref = { group, version, resource, namespace: options.namespace ?? world.namespace, name };
  const labels = { app: name };
  const pods = {
    ...(resource === "daemonsets" && { nodeSelector: { none: "such" } }),
    containers: [{ name: "c", image: "registry.invalid/c:1", env: [{ name: "S", value: options.secret ?? SECRET }] }],
  };
  const metadata = { labels, ...(options.annotations && { annotations: options.annotations }) };
  const made = madeOf(world.backend, ref);
  await must(world.backend, "POST", made.path.slice(0, made.path.lastIndexOf("/")), {
    apiVersion: `${group}/${version}`,
    kind,
    // Where kubectl apply keeps what it was given.
    metadata: {
      name,
      namespace: ref.namespace,
      annotations: { "example.com/last-applied": SECRET },
      ...options.metadata,
    },
    spec: {
      ...(resource !== "daemonsets" && { replicas: 1 }),
      ...(resource === "statefulsets" && { serviceName: name }),
      ...(resource === "rollouts" && { strategy: { canary: {} } }),
      selector: { matchLabels: labels },
      template: { metadata, spec: pods },
      ...options.spec,
    },
  });
  return made;
}

/** An object by its name, whether it exists or not. */
export function madeOf(backend: Backend, ref: Ref): Made {
  const base = ref.group === "" ? `/api/${ref.version}` : `/apis/${ref.group}/${ref.version}`;
  const path = `${base}/namespaces/${ref.namespace}/${ref.resource}/${ref.name}`;
  const read = async () => must(backend, "GET", path);
  return {
    ref,
    path,
    read,
    merge: async (patch) => void (await must(backend, "PATCH", path, patch, "application/merge-patch+json")),
    restartedAt: async () => {
      const { spec } = await read();
      return ref.resource === "rollouts"
        ? (spec.restartAt ?? undefined)
        : spec.template.metadata?.annotations?.["kubectl.kubernetes.io/restartedAt"];
    },
    generation: async () => (await read()).metadata.generation,
  };
}

/** A request of the administrator that has to succeed. */
export async function must(
  backend: Backend,
  method: string,
  path: string,
  body?: unknown,
  contentType?: string,
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
): Promise<any> {
  const answer = await backend.request(method, path, { body, ...(contentType && { contentType }) });
  if (answer.status >= 300) {
    throw new Error(`${method} ${path}: ${answer.status} ${answer.body.slice(0, 2000)}`);
  }
  return answer.json();
}

/** A restart, and what its caller is told. {@link SECRET} is looked for in all of it, and in what the log gets. */
export async function restart(
  restartd: InMemory,
  request: MessageInitShape<typeof RestartRequestSchema>,
  options: CallOptions = {},
): Promise<Told> {
  const before = restartd.calls.length;
  const told = await tell(
    (onHeader) => restartd.client.restart({ cluster: "patcher", ...request }, { onHeader, ...options }),
    () => restartd.calls[before]?.failure?.cause,
  );
  return told;
}

/** Runs a call and collects what its caller is told. */
export async function tell(
  run: (onHeader: (headers: Headers) => void) => Promise<unknown>,
  cause: () => unknown = () => undefined,
): Promise<Told> {
  let warnings: string[] = [];
  const told: Told = await run((headers) => {
    warnings = headers.get("restart-warning")?.split(", ") ?? [];
  }).then(
    () => ({ code: "ok", warnings }),
    (error: unknown) => failureOf(error, warnings),
  );
  expect(JSON.stringify([told, describeCause(cause())]), "a secret was told").not.toContain(SECRET);
  return told;
}

/** What a call gets whose target another operation blocks. */
export const IN_PROGRESS = { code: "Aborted", reason: "OPERATION_IN_PROGRESS", outcome: "not_applied" } as const;

/** A restart of a caller who waits for its turn: it asks again for as long as another operation blocks the target. */
export async function restartInTurn(restartd: InMemory, ref: Ref): Promise<Told> {
  for (;;) {
    const told = await restart(restartd, ref);
    if (told.reason !== IN_PROGRESS.reason) {
      return told;
    }
    expect(told).toMatchObject(IN_PROGRESS);
    // The refusal needs no network: without a pause nobody's answer would ever come.
    await setImmediate();
  }
}

/** Of restarts of one object at the same time: how many were applied. Any other was refused for one of those. */
export function countApplied(told: readonly Told[]): number {
  const refused = told.filter(({ code }) => code !== "ok");
  expect(refused).toEqual(refused.map(() => expect.objectContaining(IN_PROGRESS)));
  return told.length - refused.length;
}

/** The values of all restarts of an object that a restartd's operations say were applied. */
export async function valuesOf(restartd: InMemory, ref: Ref): Promise<string[]> {
  const store = await restartd.store;
  const where = [{ field: "target", operator: "=", value: targetOf(ref) }] as const;
  const operations = await store.list({ where, limit: 1000 });
  return operations.filter(({ state }) => state === "SENT").map(({ vendorJob }) => vendorJob);
}

const DETAILS: readonly DescMessage[] = [
  BadRequestSchema,
  HelpSchema,
  PreconditionFailureSchema,
  RequestInfoSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
];

function failureOf(error: unknown, warnings: string[]): Told {
  if (!(error instanceof ConnectError)) {
    throw error;
  }
  const [info] = error.findDetails(ErrorInfoSchema);
  const { outcome = "", ...metadata } = info?.metadata ?? {};
  const found = DETAILS.flatMap((schema) =>
    error.findDetails(schema).map((detail) => [schema.name, toJson(schema, detail)]),
  );
  return {
    code: Code[error.code],
    message: error.rawMessage,
    reason: info?.reason ?? "",
    outcome,
    metadata,
    details: Object.fromEntries(found),
    warnings,
  };
}

/** A failed call whose PreconditionFailure has one violation, of the failure's own reason. */
export const preconditionFailed = (reason: Reason, ref: Ref, description: unknown) => ({
  code: "FailedPrecondition",
  reason,
  outcome: "not_applied",
  details: expect.objectContaining({
    PreconditionFailure: {
      violations: [{ type: reason, subject: subjectOf(ref), description }],
    },
  }),
});

/** `deployments.apps/shop/web`. */
export const subjectOf = ({ group, resource, namespace, name }: Ref): string =>
  `${resource}${group && `.${group}`}/${namespace}/${name}`;

/** `clusters/patcher/apps/v1/namespaces/shop/deployments/web`. */
export const targetOf = ({ group, version, resource, namespace, name }: Ref, cluster = "patcher"): string =>
  `clusters/${cluster}/${group || "core"}/${version}/namespaces/${namespace}/${resource}/${name}`;

/** A free name. */
export const freeName = (): string => `o-${randomBytes(5).toString("hex")}`;

/** Waits for something that nothing announces, by looking every 20 ms for at most `timeout` (ms). */
export async function eventually<T>(look: () => Promise<T | undefined | false>, timeout = 60_000): Promise<T> {
  const end = performance.now() + timeout;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) {
      return found;
    }
    if (performance.now() > end) {
      throw new Error(`waited ${timeout} ms in vain: ${look}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** An object that its controller has seen, and has written its defaults and counts into. */
export async function observed(object: Made): Promise<Made> {
  await eventually(async () => {
    const { metadata, status } = await object.read();
    return String(status?.observedGeneration) === String(metadata.generation);
  }); // a real controller that has met an error comes back late
  return object;
}

/** The resourceVersion once controllers have come to rest: the same in three looks, observed. */
export async function settledVersion(read: () => ReturnType<typeof JSON.parse>): Promise<{ resourceVersion: string }> {
  for (let last = "", same = 0; ; ) {
    const { metadata, status } = await read();
    same = metadata.resourceVersion === last ? same + 1 : 0;
    if (same >= 2 && String(status?.observedGeneration) === String(metadata.generation)) {
      return metadata;
    }
    last = metadata.resourceVersion;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

/**
 * A count once it has been the same for a second: what earlier tests closed goes after a while, and a real control plane's own
 * controllers take their watches up again now and then.
 */
export async function steady(count: () => Promise<number>): Promise<number> {
  let last = await count();
  let since = performance.now();
  return eventually(async () => {
    const now = await count();
    if (now !== last) {
      last = now;
      since = performance.now();
    }
    return performance.now() - since > 1000 ? now : undefined;
  });
}
