import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  freeName,
  type Made,
  make,
  must,
  openWorld,
  restart,
  type World,
} from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { startControlPlane } from "./control-plane.ts";
import { controlPlaneModules, missingModules } from "./modules.ts";

/** Bytes: what a fresh control plane writes, and a few large objects. */
const QUOTA = 24 * 1024 * 1024;

describe.skipIf(missingModules(controlPlaneModules).length > 0)("a cluster whose etcd is full", () => {
  let cluster: ControlPlane;
  let world: World;
  beforeAll(async () => {
    cluster = await startControlPlane({
      argoRollouts: false,
      nodes: 1,
      etcdFlags: [`--quota-backend-bytes=${QUOTA}`],
    });
    world = await openWorld(cluster);
  }, 120_000);
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  /** Writes until etcd takes no more. */
  const fill = async () => {
    const data = { filler: "x".repeat(1_000_000) };
    for (;;) {
      const answer = await cluster.request("POST", `/api/v1/namespaces/${world.namespace}/configmaps`, {
        body: { apiVersion: "v1", kind: "ConfigMap", metadata: { name: freeName() }, data },
      });
      if (answer.status >= 300) {
        return answer;
      }
    }
  };

  const refused = {
    code: "Internal",
    reason: "VENDOR_INTERNAL_ERROR",
    outcome: "not_applied",
    message:
      "cluster patcher: its store does not take the write (etcd: mvcc: database space exceeded); the cluster's operator has to mend that; the restart was not applied",
    warnings: [],
  };

  test("a restart is not applied, and its caller is told at once and why", async () => {
    const objects: Made[] = [await make(world, "deployments"), await make(world, "deployments")];
    const [fresh, remembered] = objects as [Made, Made];
    expect((await restart(world.tapped, remembered.ref)).code).toBe("ok");
    const value = await remembered.restartedAt();
    const answer = await fill();
    expect(answer).toMatchObject({ status: 500, body: expect.stringContaining("database space exceeded") });
    for (const { ref } of objects) {
      world.tap.reset();
      expect(await restart(world.tapped, ref)).toMatchObject(refused);
      // It does not block its target, and who may not read is told the same.
      expect(await restart(world.tapped, { ...ref, cluster: "blind" })).toMatchObject({
        ...refused,
        message: refused.message.replace("patcher", "blind"),
      });
      expect(world.tap.applicable).toHaveLength(2);
    }
    expect(await fresh.restartedAt()).toBeUndefined();
    expect(await remembered.restartedAt()).toBe(value);
    await must(cluster, "GET", remembered.path);
  });
});
