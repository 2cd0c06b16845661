import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { contextsOf, restartdInMemory } from "../../../support/restartd.ts";
import { type SimulatorBackend, startSimulatorBackend } from "../../../support/simulator-backend.ts";
import { listRows } from "../behaviour/lists.ts";
import { make, openWorld, tell, type World } from "../behaviour/world.ts";

describe("a simulated API server", () => {
  let backend: SimulatorBackend;
  let world: World;
  beforeAll(async () => {
    backend = await startSimulatorBackend();
    world = await openWorld(backend);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await backend[Symbol.asyncDispose]();
  });

  listRows(() => world);

  test("ListWorkloads refuses a token that has expired", async () => {
    await make(world, "deployments");
    await make(world, "deployments");
    const request = { cluster: "patcher", namespace: world.namespace, pageSize: 1 };
    const { nextPageToken: pageToken } = await world.direct.client.listWorkloads(request);
    backend.simulator.compact();
    expect(await tell(() => world.direct.client.listWorkloads({ ...request, pageToken }))).toMatchObject({
      code: "InvalidArgument",
      reason: "INVALID_ARGUMENT",
      message: "page_token has expired: begin again without it",
    });
  });

  test("ListWorkloads passes over kinds that the cluster does not serve", async () => {
    await using plain = await startSimulatorBackend({ rollouts: false });
    await using restartd = restartdInMemory({ clusters: contextsOf(plain.kubeconfig, ["admin"]) });
    const labels = { app: "web" };
    for (const kind of ["Deployment", "StatefulSet"]) {
      plain.simulator.create({
        apiVersion: "apps/v1",
        kind,
        metadata: { name: "web", namespace: "default" },
        spec: {
          selector: { matchLabels: labels },
          template: { metadata: { labels }, spec: { containers: [{ name: "c", image: "i" }] } },
        },
      });
    }
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await restartd.client.listWorkloads({ cluster: "admin", pageSize: 1, pageToken });
      found.push(...page.workloads.map(({ resource }) => resource));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual(["deployments", "statefulsets"]);
  });

  test("ListWorkloads says that a cluster cannot be reached", async () => {
    const gone = await startSimulatorBackend();
    await gone.simulator.stop();
    await using restartd = restartdInMemory({ clusters: contextsOf(gone.kubeconfig, ["admin"]) });
    expect(await tell(() => restartd.client.listWorkloads({ cluster: "admin" }))).toMatchObject({
      code: "Unavailable",
      reason: "CLUSTER_UNREACHABLE",
      details: { RetryInfo: {} },
    });
    await gone[Symbol.asyncDispose]();
  });
});
