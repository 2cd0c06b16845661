import { syncBudget } from "./controller-budget.ts";
import { syncDaemonSet } from "./controller-daemon-set.ts";
import { syncDeployment } from "./controller-deployment.ts";
import { syncReplicaSet } from "./controller-replica-set.ts";
import { syncRollout } from "./controller-rollout.ts";
import { syncStatefulSet } from "./controller-stateful-set.ts";
import { GarbageCollector } from "./garbage.ts";
import { arrayAt, type KubeObject, stringAt } from "./json.ts";
import type { Resource, ResourceTable } from "./resources.ts";
import { namespaceOf, type StoreEvent } from "./store.ts";
import type { Workshop } from "./workshop.ts";

/** A step of one object's controller; may answer in how many milliseconds to look again. */
type Sync = (workshop: Workshop, object: KubeObject) => number | undefined;

const syncs: Readonly<Record<string, Sync>> = {
  Deployment: syncDeployment,
  ReplicaSet: syncReplicaSet,
  StatefulSet: syncStatefulSet,
  DaemonSet: syncDaemonSet,
  Rollout: syncRollout,
  PodDisruptionBudget: syncBudget,
};

interface Item {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
}

/** What kube-controller-manager and Argo's controller do: reads specs, writes pods and statuses, collects garbage. */
export class Controllers {
  readonly #workshop: Workshop;
  readonly #garbage: GarbageCollector;
  readonly #queue = new Map<string, Item>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #unsubscribe: () => void;
  #missed: StoreEvent[] = [];
  #scheduled: NodeJS.Immediate | undefined;
  #paused = false;

  constructor(workshop: Workshop, table: ResourceTable) {
    this.#workshop = workshop;
    this.#garbage = new GarbageCollector(workshop, table);
    this.#unsubscribe = workshop.store.subscribe((event) => this.#observe(event));
  }

  /** From now on nobody observes a spec. */
  pause(): void {
    this.#paused = true;
    clearImmediate(this.#scheduled);
    this.#scheduled = undefined;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }

  /** Catches up with everything. */
  resume(): void {
    this.#paused = false;
    const missed = this.#missed;
    this.#missed = [];
    for (const event of missed) this.#garbage.observe(event);
    for (const resource of this.#workshop.resources()) {
      if (syncs[resource.kind] === undefined) continue;
      for (const object of this.#workshop.store.list(resource)) this.#enqueue(resource, object);
    }
    this.#schedule();
  }

  /** Does at once all that is queued; answers whether there was anything. */
  settle(): boolean {
    if (this.#queue.size === 0) return false;
    this.#work();
    return true;
  }

  /** Stops for good. */
  stop(): void {
    this.#unsubscribe();
    this.pause();
  }

  #observe(event: StoreEvent): void {
    if (this.#paused) {
      this.#missed.push(event);
      return;
    }
    this.#garbage.observe(event);
    if (event.type !== "DELETED") this.#enqueue(event.resource, event.object);
    for (const owner of arrayAt(event.object, "metadata", "ownerReferences")) {
      this.#enqueueNamed(stringAt(owner, "kind"), namespaceOf(event.object), stringAt(owner, "name"));
    }
    if (event.resource.kind === "Node") {
      const sets = this.#workshop.resource("apps", "daemonsets");
      for (const set of this.#workshop.store.list(sets)) this.#enqueue(sets, set);
    }
    // A pod concerns the owner of its ReplicaSet too: it counts pods, not only the sets' statuses.
    if (event.resource.kind === "Pod") {
      this.#enqueueGrandparents(event.object);
      const budgets = this.#workshop.resource("policy", "poddisruptionbudgets");
      for (const budget of this.#workshop.store.list(budgets, namespaceOf(event.object)))
        this.#enqueue(budgets, budget);
    }
    this.#schedule();
  }

  #enqueueGrandparents(pod: KubeObject): void {
    const sets = this.#workshop.resource("apps", "replicasets");
    for (const owner of arrayAt(pod, "metadata", "ownerReferences")) {
      const set = this.#workshop.store.get(sets, namespaceOf(pod), stringAt(owner, "name"));
      for (const above of arrayAt(set, "metadata", "ownerReferences")) {
        this.#enqueueNamed(stringAt(above, "kind"), namespaceOf(pod), stringAt(above, "name"));
      }
    }
  }

  #enqueueNamed(kind: string, namespace: string, name: string): void {
    const resource = this.#workshop.resources().find((item) => item.kind === kind && syncs[kind] !== undefined);
    if (resource !== undefined) this.#queue.set(`${kind}/${namespace}/${name}`, { resource, namespace, name });
  }

  #enqueue(resource: Resource, object: KubeObject): void {
    this.#enqueueNamed(resource.kind, namespaceOf(object), object.metadata.name);
  }

  #schedule(): void {
    if (this.#paused || this.#scheduled !== undefined || this.#queue.size === 0) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      this.#work();
    });
  }

  #work(): void {
    const items = [...this.#queue];
    this.#queue.clear();
    for (const [key, { resource, namespace, name }] of items) {
      const object = this.#workshop.store.get(resource, namespace, name);
      clearTimeout(this.#timers.get(key));
      this.#timers.delete(key);
      const sync = syncs[resource.kind];
      const lookAgain = object === undefined || sync === undefined ? undefined : sync(this.#workshop, object);
      if (typeof lookAgain !== "number") continue;
      const timer = setTimeout(
        () => {
          this.#queue.set(key, { resource, namespace, name });
          this.#schedule();
        },
        Math.min(lookAgain, 2 ** 31 - 1),
      );
      timer.unref();
      this.#timers.set(key, timer);
    }
  }
}
