import { afterEach, describe, expect, it } from "vitest";
import { readyAnnotation, type SimulatorOptions, workload } from "../../../../src/targets/kubernetes/simulator.ts";
import type { SimulatorBackend } from "../../../support/simulator-backend.ts";
import { deployments, mergePatch, startShop, until, web } from "./support.ts";

let backend: SimulatorBackend;
const start = async (options: SimulatorOptions = {}) => {
  backend = await startShop(options);
};
afterEach(() => backend[Symbol.asyncDispose]());

const apps = "/apis/apps/v1/namespaces/shop";
const get = async (path: string) => (await backend.request("GET", path)).json();
const restart = (path: string, value = "1", extra: object = {}) =>
  mergePatch(backend, path, { spec: { template: { metadata: { annotations: { restarted: value } } }, ...extra } });
const condition = (object: { status: { conditions: { type: string }[] } }, type: string) =>
  object.status.conditions.find((item) => item.type === type);
const podsOf = async (app: string) => (await get(`/api/v1/namespaces/shop/pods?labelSelector=app%3D${app}`)).items;

describe("Deployments", () => {
  it("are settled at the start", async () => {
    await start();
    const object = await get(web);
    expect(object.metadata.annotations).toEqual({ "deployment.kubernetes.io/revision": "1" });
    expect(object.status).toMatchObject({
      observedGeneration: 1,
      replicas: 3,
      updatedReplicas: 3,
      readyReplicas: 3,
      availableReplicas: 3,
      terminatingReplicas: 0,
    });
    expect(object.status).not.toHaveProperty("unavailableReplicas");
    expect(condition(object, "Available")).toMatchObject({ status: "True", reason: "MinimumReplicasAvailable" });
    expect(condition(object, "Progressing")).toMatchObject({ status: "True", reason: "NewReplicaSetAvailable" });
  });

  it("roll pod by pod, never below what must be available", async () => {
    await start();
    const seen: Record<string, number>[] = [];
    const before = new Set((await podsOf("web")).map((pod: { metadata: { uid: string } }) => pod.metadata.uid));
    await restart(web);
    const done = await until(async () => {
      const object = await get(web);
      seen.push(object.status);
      return object.status.observedGeneration === object.metadata.generation &&
        condition(object, "Progressing")?.["reason" as "type"] === "NewReplicaSetAvailable"
        ? object
        : undefined;
    });
    expect(done.status).toMatchObject({ replicas: 3, updatedReplicas: 3, availableReplicas: 3 });
    expect(done.metadata.annotations["deployment.kubernetes.io/revision"]).toBe("2");
    expect(Math.min(...seen.map((status) => status.availableReplicas ?? 0))).toBe(3);
    expect(Math.max(...seen.map((status) => status.replicas ?? 0))).toBeLessThanOrEqual(4);
    await until(async () => (await podsOf("web")).length === 3);
    for (const pod of await podsOf("web")) {
      expect(before.has(pod.metadata.uid)).toBe(false);
      expect(pod.metadata.annotations).toEqual({ restarted: "1" });
    }
  });

  it("are not observed while the controllers stand still", async () => {
    await start();
    await backend.controllers.pause();
    const patched = (await restart(web)).json();
    expect((await get(web)).status.observedGeneration).toBe(patched.metadata.generation - 1);
    await backend.controllers.resume();
    await until(async () => (await get(web)).status.observedGeneration >= patched.metadata.generation);
  });

  it("write the revision before they say that they observed it", async () => {
    await start({ pace: 1000 });
    const generations: [string, number][] = [];
    const response = await fetch(
      `${backend.url}${deployments}?watch=1&resourceVersion=${(await get(deployments)).metadata.resourceVersion}`,
      {
        headers: { authorization: `Bearer ${backend.simulator.token("admin")}` },
      },
    );
    const { metadata } = (await restart(web)).json();
    const decoder = new TextDecoder();
    for await (const chunk of response.body ?? []) {
      for (const line of decoder
        .decode(chunk)
        .split("\n")
        .filter((text) => text !== "")) {
        const { object } = JSON.parse(line);
        generations.push([
          object.metadata.annotations["deployment.kubernetes.io/revision"],
          object.status.observedGeneration,
        ]);
      }
      if (generations.some(([, observed]) => observed >= metadata.generation)) break;
    }
    expect(generations).toContainEqual(["2", metadata.generation - 1]);
  });

  it("do not roll while paused, and say so", async () => {
    await start();
    await mergePatch(backend, web, { spec: { paused: true } });
    const { metadata } = (await restart(web)).json();
    const object = await until(async () => {
      const found = await get(web);
      return found.status.observedGeneration >= metadata.generation ? found : undefined;
    });
    expect(condition(object, "Progressing")).toMatchObject({ status: "Unknown", reason: "DeploymentPaused" });
    expect((await get(`${apps}/replicasets?labelSelector=app%3Dweb`)).items).toHaveLength(1);
    await mergePatch(backend, web, { spec: { paused: false } });
    await until(async () => (await get(`${apps}/replicasets?labelSelector=app%3Dweb`)).items.length === 2);
  });

  it("exceed their progress deadline when pods do not become ready", async () => {
    await start();
    await backend.pods.pause();
    await restart(web, "1", { progressDeadlineSeconds: 1 });
    const stalled = await until(async () => {
      const object = await get(web);
      return condition(object, "Progressing")?.["status" as "type"] === "False" ? object : undefined;
    });
    expect(condition(stalled, "Progressing")).toMatchObject({ reason: "ProgressDeadlineExceeded" });
    expect(stalled.status).toMatchObject({ updatedReplicas: 1, availableReplicas: 3, unavailableReplicas: 1 });
    await backend.pods.resume();
    await until(async () => {
      const object = await get(web);
      return condition(object, "Progressing")?.["status" as "type"] === "True" && object.status.updatedReplicas === 3;
    });
  });

  it("get stuck on their next rollout when their template says so", async () => {
    await start();
    const object = workload("apps/v1", "Deployment", "stuck", { replicas: 2 }, { [readyAnnotation]: "first-revision" });
    await backend.request("POST", deployments, { body: object });
    await until(async () => (await get(`${deployments}/stuck`)).status.availableReplicas === 2);
    await restart(`${deployments}/stuck`);
    await until(async () => (await get(`${deployments}/stuck`)).status.updatedReplicas === 1);
    backend.simulator.settle();
    expect((await get(`${deployments}/stuck`)).status).toMatchObject({ updatedReplicas: 1, unavailableReplicas: 1 });
  });

  it("with Recreate have no pod between the old and the new", async () => {
    await start();
    await mergePatch(backend, web, { spec: { strategy: { type: "Recreate", rollingUpdate: null } } });
    await backend.pods.pause();
    await restart(web);
    await until(async () => (await get(web)).status.replicas === undefined);
    const pods = await podsOf("web");
    expect(pods.every((pod: { metadata: object }) => "deletionTimestamp" in pod.metadata)).toBe(true);
    await backend.pods.resume();
    await until(async () => (await get(web)).status.availableReplicas === 3);
  });

  it("scale without a new revision", async () => {
    await start();
    await mergePatch(backend, web, { spec: { replicas: 5 } });
    const object = await until(async () => {
      const found = await get(web);
      return found.status.availableReplicas === 5 ? found : undefined;
    });
    expect(object.metadata.annotations["deployment.kubernetes.io/revision"]).toBe("1");
    await mergePatch(backend, web, { spec: { replicas: 0 } });
    const none = await until(async () => {
      const found = await get(web);
      return found.status.replicas === undefined ? found : undefined;
    });
    expect(none.status).not.toHaveProperty("availableReplicas");
  });
});

describe("StatefulSets", () => {
  const db = `${apps}/statefulsets/db`;
  const restartedOrdinals = async () =>
    (await podsOf("db"))
      .filter((pod: { metadata: { annotations?: object } }) => pod.metadata.annotations !== undefined)
      .map((pod: { metadata: { name: string } }) => pod.metadata.name);

  it("roll from the highest ordinal down", async () => {
    await start();
    const { currentRevision } = (await get(db)).status;
    await restart(db);
    const orders = new Set<string>();
    const done = await until(async () => {
      orders.add((await restartedOrdinals()).join());
      const { status } = await get(db);
      return status.currentRevision !== currentRevision ? status : undefined;
    });
    expect([...orders].filter((order) => order === "db-0" || order === "db-1")).toEqual([]);
    expect(done).toMatchObject({
      replicas: 3,
      readyReplicas: 3,
      currentReplicas: 3,
      updatedReplicas: 3,
      availableReplicas: 3,
    });
    expect(done.updateRevision).toBe(done.currentRevision);
  });

  it("stop at the partition", async () => {
    await start();
    await mergePatch(backend, db, { spec: { updateStrategy: { rollingUpdate: { partition: 2 } } } });
    await restart(db);
    await until(async () => (await restartedOrdinals()).length === 1 && (await get(db)).status.readyReplicas === 3);
    backend.simulator.settle();
    expect(await restartedOrdinals()).toEqual(["db-2"]);
    expect((await get(db)).status).toMatchObject({ updatedReplicas: 1, currentReplicas: 2 });
  });

  it("with OnDelete wait for someone to delete", async () => {
    await start();
    await mergePatch(backend, db, { spec: { updateStrategy: { type: "OnDelete", rollingUpdate: null } } });
    const { metadata } = (await restart(db)).json();
    await until(async () => (await get(db)).status.observedGeneration === metadata.generation);
    backend.simulator.settle();
    expect(await restartedOrdinals()).toEqual([]);
    await backend.request("DELETE", "/api/v1/namespaces/shop/pods/db-1");
    await until(async () => (await restartedOrdinals()).join() === "db-1");
  });
});

describe("DaemonSets", () => {
  it("replace one pod at a time on every node", async () => {
    await start();
    const agent = `${apps}/daemonsets/agent`;
    expect((await get(agent)).status).toEqual({
      currentNumberScheduled: 2,
      numberMisscheduled: 0,
      desiredNumberScheduled: 2,
      numberReady: 2,
      observedGeneration: 1,
      updatedNumberScheduled: 2,
      numberAvailable: 2,
    });
    const { metadata } = (await restart(agent)).json();
    const least: number[] = [];
    await until(async () => {
      const { status } = await get(agent);
      least.push(status.numberAvailable ?? 0);
      return (
        status.observedGeneration === metadata.generation &&
        status.updatedNumberScheduled === 2 &&
        status.numberAvailable === 2
      );
    });
    expect(Math.min(...least)).toBeGreaterThanOrEqual(1);
  });
});

describe("DaemonSets with a node selector", () => {
  it("run on no node that does not match", async () => {
    await start();
    await mergePatch(backend, `${apps}/daemonsets/agent`, {
      spec: { template: { spec: { nodeSelector: { gpu: "yes" } } } },
    });
    await until(async () => (await get(`${apps}/daemonsets/agent`)).status.desiredNumberScheduled === 0);
    await until(async () => (await podsOf("agent")).length === 0);
  });
});

describe("Argo Rollouts", () => {
  const canary = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary";

  it("restart their pods at restartAt, and say when they did", async () => {
    const started = Date.now();
    let now = started;
    await start({ ambient: { now: () => now, id: () => crypto.randomUUID() } });
    expect((await get(canary)).status).toMatchObject({
      phase: "Healthy",
      observedGeneration: "1",
      availableReplicas: 2,
      HPAReplicas: 2,
    });
    const before = (await podsOf("canary")).map((pod: { metadata: { uid: string } }) => pod.metadata.uid);
    now = started + 5000;
    const restartAt = `${new Date(now).toISOString().slice(0, 19)}Z`;
    await mergePatch(backend, canary, { spec: { restartAt } });
    const done = await until(async () => {
      const object = await get(canary);
      return object.status.restartedAt === restartAt && object.status.phase === "Healthy" ? object : undefined;
    });
    expect(done.status).toMatchObject({ observedGeneration: "2", availableReplicas: 2 });
    await until(async () => (await podsOf("canary")).length === 2);
    const after = (await podsOf("canary")).map((pod: { metadata: { uid: string } }) => pod.metadata.uid);
    expect(after.filter((uid: string) => before.includes(uid))).toEqual([]);
  });

  it("wait for a time that has not come", async () => {
    await start();
    const restartAt = new Date(Date.now() + 3_600_000).toISOString();
    await mergePatch(backend, canary, { spec: { restartAt } });
    const object = await until(async () => {
      const found = await get(canary);
      return found.status.observedGeneration === "2" ? found : undefined;
    });
    expect(object.status).toMatchObject({ phase: "Progressing", message: "rollout is restarting" });
    expect(object.status).not.toHaveProperty("restartedAt");
  });
});
