import type { Fault, KubeObject, RecordedRequest } from "../../src/targets/kubernetes/simulator.ts";
import { emptyWorld, replies, workload } from "../../src/targets/kubernetes/simulator.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../support/simulator-backend.ts";
import type { Random } from "./random.ts";
import type { Truth } from "./verdicts.ts";

/** A Kubernetes cluster that loses requests and answers, and knows what really happened. */
export interface Vendor extends Truth, AsyncDisposable {
  readonly kubeconfig: string;
  /** Whether anything goes wrong from now on. */
  chaotic: boolean;
  /** How often each thing went wrong. */
  readonly faults: ReadonlyMap<string, number>;
  /** How often the deployment's generation moved: the same number, by another way. */
  moves(name: string): number;
}

/** The one namespace. */
export const NAMESPACE = "shop";

const RESTARTED_AT = "kubectl.kubernetes.io/restartedAt";

type Mischief = Omit<Fault, "method" | "when" | "times" | "admit">;

const ANSWERED_503 = () => replies.jsonReply(503, { kind: "Status", apiVersion: "v1", status: "Failure", code: 503 });

/** What goes wrong with a PATCH, by its share in percent; the rest goes well. */
const WRITES: Readonly<Record<string, readonly [number, Mischief]>> = {
  "dropped before executing": [12, { disconnect: "before-executing" }],
  "executed, then reset": [14, { disconnect: "after-executing" }],
  "executed, then cut in the answer": [6, { disconnect: "while-answering" }],
  "executed, then answered 503": [10, { answer: ANSWERED_503 }],
  "answered 429": [6, { answer: replies.tooManyRequests() }],
  "slow to execute": [8, { delayBefore: 900 }],
  "slow to answer": [8, { delayAfter: 900 }],
};

/** The same for everything else. */
const READS: Readonly<Record<string, readonly [number, Mischief]>> = {
  "read reset": [12, { disconnect: "before-executing" }],
  "read answered 503": [8, { answer: ANSWERED_503 }],
  "slow read": [5, { delayBefore: 400 }],
};

/** Starts a cluster with deployments of these names; nothing goes wrong yet. */
export async function startVendor(names: readonly string[], random: Random): Promise<Vendor> {
  const objects = names.map((name) => workload("apps/v1", "Deployment", name, { replicas: 1 }));
  const world = { ...emptyWorld, namespaces: [...emptyWorld.namespaces, NAMESPACE], objects };
  const backend = await startSimulatorBackend({ world });
  return new ChaoticVendor(backend, names, random);
}

class ChaoticVendor implements Vendor {
  chaotic = false;
  readonly deployments: readonly string[];
  readonly faults = new Map<string, number>();
  readonly #backend: SimulatorBackend;
  readonly #applied = new Map<string, string[]>();
  readonly #generations: ReadonlyMap<string, number>;
  readonly #drawn = new WeakMap<RecordedRequest, string>();
  readonly #random: Random;

  constructor(backend: SimulatorBackend, names: readonly string[], random: Random) {
    this.#backend = backend;
    this.#random = random;
    this.deployments = names;
    this.#generations = new Map(names.map((name) => [name, this.#generation(name)]));
    const admit = (object: KubeObject, before: KubeObject | undefined) => this.#count(object, before);
    for (const [kind, [, mischief]] of Object.entries({ ...WRITES, ...READS, well: [0, {}] as const })) {
      const when = (request: RecordedRequest) => this.#draw(request) === kind;
      backend.simulator.inject({ ...mischief, when, admit, times: Number.POSITIVE_INFINITY });
    }
  }

  get kubeconfig(): string {
    return this.#backend.kubeconfig;
  }

  applied(name: string): readonly string[] {
    return this.#applied.get(name) ?? [];
  }

  moves(name: string): number {
    return this.#generation(name) - (this.#generations.get(name) ?? 0);
  }

  #generation(name: string): number {
    const object = this.#backend.simulator.get("apps", "deployments", NAMESPACE, name);
    return Number(object?.metadata.generation);
  }

  /** What becomes of a request, drawn once. */
  #draw(request: RecordedRequest): string {
    const known = this.#drawn.get(request);
    if (known !== undefined) return known;
    const drawn = this.chaotic ? this.#drawMischief(request) : "well";
    this.#drawn.set(request, drawn);
    this.faults.set(drawn, (this.faults.get(drawn) ?? 0) + 1);
    return drawn;
  }

  #drawMischief({ method }: RecordedRequest): string {
    let left = this.#random.next() * 100;
    for (const [kind, [percent]] of Object.entries(method === "PATCH" ? WRITES : READS)) {
      left -= percent;
      if (left < 0) return kind;
    }
    return "well";
  }

  #count(object: KubeObject, before: KubeObject | undefined): KubeObject {
    const value = restartOf(object);
    if (before !== undefined && value !== undefined && value !== restartOf(before)) {
      const { name } = object.metadata;
      this.#applied.set(name, [...this.applied(name), value]);
    }
    return object;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#backend[Symbol.asyncDispose]();
  }
}

function restartOf(object: KubeObject): string | undefined {
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  const { template } = object.spec as any;
  return template?.metadata?.annotations?.[RESTARTED_AT];
}
