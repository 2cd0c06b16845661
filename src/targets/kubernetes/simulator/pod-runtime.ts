import { isDeleting } from "./deletion.ts";
import { arrayAt, type Json, type JsonObject, type KubeObject, stringAt } from "./json.ts";
import { namespaceOf, type StoreEvent } from "./store.ts";
import { isReady, type Workshop } from "./workshop.ts";

/**
 * Annotation of a pod template that keeps pods from becoming ready: `never`, or `first-revision`: only those of a
 * Deployment's first revision become ready, so that its next rollout gets stuck.
 */
export const readyAnnotation = "simulator/ready";

/** What nodes do: makes pods ready, or lets them crash, one at a time for each controller, and finishes their deletion. */
export class PodRuntime {
  readonly #workshop: Workshop;
  readonly #pace: number;
  readonly #free = new Map<string, number>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #unsubscribe: () => void;
  #paused = false;
  #settling = false;

  /** `pace`: milliseconds that a pod takes to become ready. */
  constructor(workshop: Workshop, pace: number) {
    this.#workshop = workshop;
    this.#pace = pace;
    this.#unsubscribe = workshop.store.subscribe((event) => this.#observe(event));
  }

  /** From now on no pod becomes ready and none goes. */
  pause(): void {
    this.#paused = true;
    this.#clear();
  }

  /** Goes on with every pod that waits. */
  resume(): void {
    this.#paused = false;
    for (const pod of this.#all()) this.#schedule(pod);
  }

  /** Does at once all that is due; answers whether there was anything. */
  settle(): boolean {
    this.#settling = true;
    this.#clear();
    let worked = false;
    for (const pod of this.#all()) {
      if (!this.#isDue(pod)) continue;
      this.#act(pod);
      worked = true;
    }
    this.#settling = false;
    return worked;
  }

  /** Stops for good. */
  stop(): void {
    this.#unsubscribe();
    this.#clear();
  }

  #all(): KubeObject[] {
    return this.#workshop.store.list(this.#workshop.resource("", "pods"));
  }

  #clear(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#free.clear();
  }

  #observe(event: StoreEvent): void {
    if (event.resource.kind !== "Pod" || event.resource.group !== "" || this.#settling) return;
    if (event.type === "DELETED") {
      clearTimeout(this.#timers.get(event.object.metadata.uid));
      this.#timers.delete(event.object.metadata.uid);
    } else this.#schedule(event.object);
  }

  #isDue(pod: KubeObject): boolean {
    const isNew = arrayAt(pod, "status", "containerStatuses").length === 0;
    return isDeleting(pod) || (!isReady(pod) && (isNew || !this.#isStuck(pod)));
  }

  #schedule(pod: KubeObject): void {
    const { uid } = pod.metadata;
    const deleting = isDeleting(pod);
    if (this.#paused || !this.#isDue(pod)) return;
    if (this.#timers.has(uid) && !deleting) return;
    clearTimeout(this.#timers.get(uid));
    const timer = setTimeout(
      () => {
        this.#timers.delete(uid);
        const current = this.#workshop.store.get(
          this.#workshop.resource("", "pods"),
          namespaceOf(pod),
          pod.metadata.name,
        );
        if (current?.metadata.uid === uid) this.#act(current);
      },
      this.#delay(pod, deleting),
    );
    timer.unref();
    this.#timers.set(uid, timer);
  }

  /** Pods of one controller become ready one after the other; going takes a fifth of coming. */
  #delay(pod: KubeObject, deleting: boolean): number {
    if (deleting) return this.#pace / 5;
    const owner = stringAt(arrayAt(pod, "metadata", "ownerReferences")[0], "uid");
    const now = this.#workshop.ambient.now();
    const at = Math.max(now, this.#free.get(owner) ?? 0) + this.#pace;
    this.#free.set(owner, at);
    return at - now;
  }

  #act(pod: KubeObject): void {
    const { store } = this.#workshop;
    const pods = this.#workshop.resource("", "pods");
    if (isDeleting(pod)) {
      store.remove(pods, namespaceOf(pod), pod.metadata.name);
      return;
    }
    const crashes = this.#isStuck(pod);
    const at = this.#workshop.stamp();
    const conditions: Json[] = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({
      type,
      lastProbeTime: null,
      lastTransitionTime: at,
      ...(crashes && /Ready/.test(type)
        ? { status: "False", reason: "ContainersNotReady", message: "containers with unready status" }
        : { status: "True" }),
    }));
    const containerStatuses = arrayAt(pod, "spec", "containers").map((container) => ({
      name: stringAt(container, "name"),
      image: stringAt(container, "image"),
      imageID: "",
      ...(crashes
        ? crashLoop(at)
        : { ready: true, restartCount: 0, started: true, state: { running: { startedAt: at } } }),
    }));
    const status = { phase: "Running", conditions, containerStatuses, startTime: at, qosClass: "BestEffort" };
    store.put(pods, { ...pod, status });
  }

  #isStuck(pod: KubeObject): boolean {
    const mode = stringAt(pod, "metadata", "annotations", readyAnnotation);
    if (mode !== "first-revision") return mode === "never";
    const owner = arrayAt(pod, "metadata", "ownerReferences")[0];
    const set = this.#workshop.store.get(
      this.#workshop.resource("apps", "replicasets"),
      namespaceOf(pod),
      stringAt(owner, "name"),
    );
    return stringAt(set, "metadata", "annotations", "deployment.kubernetes.io/revision") !== "1";
  }
}

/** A container that ends with an error again and again, as the kubelet tells it. */
function crashLoop(at: string): JsonObject {
  const terminated = { exitCode: 1, reason: "Error", startedAt: at, finishedAt: at, containerID: "" };
  const message = "back-off 40s restarting failed container";
  return {
    ready: false,
    restartCount: 3,
    started: false,
    state: { waiting: { reason: "CrashLoopBackOff", message } },
    lastState: { terminated },
  };
}
