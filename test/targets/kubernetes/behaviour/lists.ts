import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../../../gen/google/rpc/error_details_pb.ts";
import type { Status } from "../../../../gen/google/rpc/status_pb.ts";
import type { Workload } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type { ListWorkloadsRequestSchema } from "../../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { contextsOf, restartdInMemory } from "../../../support/restartd.ts";
import { type Made, make, must, restart, type TheWorld, type Told, tell } from "./world.ts";

type Request = MessageInitShape<typeof ListWorkloadsRequestSchema>;

const invalid = (field: string, description: string) => ({
  code: "InvalidArgument",
  reason: "INVALID_ARGUMENT",
  outcome: "not_applied",
  message: `${field} ${description}`,
  details: { BadRequest: { fieldViolations: [expect.objectContaining({ field, description })] } },
});
const NOT_OURS = "is not a token that this service made: begin again without it";
const ANOTHER_LIST = "belongs to a list with other fields: repeat the request with what it had";

/** What looks like a token: JSON in base64url. */
const forged = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const positionOf = (token: string): unknown[] => JSON.parse(Buffer.from(token, "base64url").toString("utf8"));

/** ListClusters and ListWorkloads. */
export function listRows(world: TheWorld): void {
  describe("ListClusters", clusterRows.bind(undefined, world));
  describe("ListWorkloads", workloadRows.bind(undefined, world));
}

function clusterRows(world: TheWorld): void {
  test("lists the clusters by name, with the versions of those that say theirs", async () => {
    const { clusters, nextPageToken } = await world().direct.client.listClusters({});
    expect(clusters.map(({ name, reachable, serverVersion }) => [name, reachable, serverVersion])).toEqual([
      ["admin", true, "v1.36.3"],
      ["blind", true, "v1.36.3"],
      ["intruder", false, ""],
      ["nobody", true, "v1.36.3"],
      ["patcher", true, "v1.36.3"],
      ["reader", true, "v1.36.3"],
    ]);
    expect(nextPageToken).toBe("");
  });

  test.each([1, 2, 4, 5, 6, 7])("lists each cluster once in pages of %i", async (pageSize) => {
    const names: string[] = [];
    let pageToken = "";
    do {
      const page = await world().direct.client.listClusters({ pageSize, pageToken });
      expect(page.clusters.length).toBeGreaterThan(0);
      expect(page.clusters.length).toBeLessThanOrEqual(pageSize);
      names.push(...page.clusters.map(({ name }) => name));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(names).toEqual(["admin", "blind", "intruder", "nobody", "patcher", "reader"]);
  });

  test("says within three seconds which clusters are not reachable, whatever keeps them", async () => {
    await using cleanup = new AsyncDisposableStack();
    const sockets = new Set<Socket>();
    const deaf = createServer((socket) => void sockets.add(socket));
    await new Promise<void>((resolve) => deaf.listen(0, "127.0.0.1", resolve));
    const address = deaf.address();
    const port = typeof address === "object" ? address?.port : undefined;
    cleanup.defer(() => {
      for (const socket of sockets) socket.destroy();
      deaf.close();
    });
    const folder = mkdtempSync(join(tmpdir(), "clusters-"));
    cleanup.defer(() => rmSync(folder, { recursive: true }));
    const kubeconfig = join(folder, "kubeconfig");
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: "sleep",
      args: ["60"],
      interactiveMode: "Never",
    };
    const named = {
      closed: "http://127.0.0.1:1",
      deaf: `http://127.0.0.1:${port}`,
      plugin: `http://127.0.0.1:${port}`,
    };
    writeFileSync(
      kubeconfig,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: Object.entries(named).map(([name, server]) => ({ name, cluster: { server } })),
        users: Object.keys(named).map((name) => ({ name, user: name === "plugin" ? { exec } : { token: "t" } })),
        contexts: Object.keys(named).map((name) => ({ name, context: { cluster: name, user: name } })),
      }),
    );
    const restartd = cleanup.use(
      restartdInMemory({
        clusters: {
          ...contextsOf(kubeconfig, Object.keys(named)),
          missing: { kubeconfig: join(folder, "no-such-file") },
          patcher: { kubeconfig: world().backend.kubeconfig, context: "patcher" },
        },
      }),
    );
    // A machine that stands still holds up this clock too.
    const answer = await Promise.race([restartd.client.listClusters({}), delay(4_500, undefined, { ref: false })]);
    const { clusters = [] } = answer ?? {};
    expect(clusters.map(({ name, reachable }) => [name, reachable])).toEqual([
      ["closed", false],
      ["deaf", false],
      ["missing", false],
      ["patcher", true],
      ["plugin", false],
    ]);
  });

  test("refuses tokens that are not of this list", async () => {
    const { client } = world().direct;
    const list = (pageToken: string) => tell(() => client.listClusters({ pageToken }));
    expect(await list("%%%")).toMatchObject(invalid("page_token", NOT_OURS));
    expect(await list(forged("x"))).toMatchObject(invalid("page_token", NOT_OURS));
    expect(await list(forged(null))).toMatchObject(invalid("page_token", NOT_OURS));
    expect(await list(forged([7, "x"]))).toMatchObject(invalid("page_token", NOT_OURS));
    expect(await list(forged(["x", "admin"]))).toMatchObject(invalid("page_token", ANOTHER_LIST));
  });
}

function workloadRows(world: TheWorld): void {
  const namespace = `lists-${randomBytes(4).toString("hex")}`;
  const objects: Made[] = [];
  const list = (request: Request = {}) =>
    world().direct.client.listWorkloads({ cluster: "patcher", namespace, ...request });
  const refused = (request: Request): Promise<Told> => tell(() => list(request));
  const keyOf = ({ group, resource, namespace: where, name }: Workload): string =>
    `${resource}.${group}/${where}/${name}`;
  const everything = (): string[] =>
    objects.map(({ ref }) => `${ref.resource}.${ref.group}/${ref.namespace}/${ref.name}`);

  beforeAll(async () => {
    await must(world().backend, "POST", "/api/v1/namespaces", {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: namespace },
    });
    const kinds = [
      "deployments",
      "deployments",
      "deployments",
      "statefulsets",
      "daemonsets",
      "daemonsets",
      "rollouts",
    ] as const;
    for (const [index, resource] of kinds.entries()) {
      const labels = { tier: index % 2 === 0 ? "front" : "back" };
      const spec = resource === "deployments" ? { paused: index === 1, replicas: index } : {};
      objects.push(await make(world(), resource, { namespace, name: `w${index}`, metadata: { labels }, spec }));
    }
  });
  afterAll(async () => void (await world().backend.request("DELETE", `/api/v1/namespaces/${namespace}`)));

  test("lists every kind that can be restarted, with what its rollout counts", async () => {
    expect((await restart(world().direct, objects[2]?.ref ?? {})).code).toBe("ok");
    const { workloads, nextPageToken } = await list();
    expect(workloads.map(keyOf)).toEqual(everything());
    expect(nextPageToken).toBe("");
    const [first, second, third, , , , last] = workloads;
    expect(first).toMatchObject({ version: "v1", paused: false, desired: 0, ready: 0, restartedAt: "" });
    expect(second).toMatchObject({ paused: true, desired: 1 });
    expect(third).toMatchObject({ desired: 2, restartedAt: await objects[2]?.restartedAt() });
    expect(third?.uid).toBe((await objects[2]?.read())?.metadata.uid);
    expect(last).toMatchObject({ group: "argoproj.io", version: "v1alpha1", resource: "rollouts", desired: 1 });
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8])("lists each workload once in pages of %i, over all kinds", async (pageSize) => {
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await list({ pageSize, pageToken });
      expect(page.workloads.length).toBeLessThanOrEqual(pageSize);
      if (page.nextPageToken !== "") expect(page.workloads).toHaveLength(pageSize);
      found.push(...page.workloads.map(keyOf));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual(everything());
  });

  test("lists one kind, in pages too", async () => {
    const kind = { group: "apps", version: "v1", resource: "deployments" };
    expect((await list(kind)).workloads.map(({ name }) => name)).toEqual(["w0", "w1", "w2"]);
    const first = await list({ ...kind, pageSize: 2 });
    expect(first.workloads.map(({ name }) => name)).toEqual(["w0", "w1"]);
    const second = await list({ ...kind, pageSize: 2, pageToken: first.nextPageToken });
    expect(second.workloads.map(({ name }) => name)).toEqual(["w2"]);
    expect(second.nextPageToken).toBe("");
  });

  test("lists all namespaces", async () => {
    const elsewhere = await make(world(), "statefulsets");
    const found: string[] = [];
    let pageToken = "";
    do {
      const page = await list({ namespace: "", pageSize: 500, pageToken });
      found.push(...page.workloads.map(keyOf));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    const name = `statefulsets.apps/${elsewhere.ref.namespace}/${elsewhere.ref.name}`;
    expect(found).toEqual(expect.arrayContaining([...everything(), name]));
    expect(new Set(found).size).toBe(found.length);
  });

  test.each([
    ["tier=front", ["w0", "w2", "w4", "w6"]],
    ["tier!=front", ["w1", "w3", "w5"]],
    ["tier in (back, side)", ["w1", "w3", "w5"]],
    ["tier", ["w0", "w1", "w2", "w3", "w4", "w5", "w6"]],
    ["!tier", []],
    ["tier=none", []],
  ])("lists what the selector %s selects", async (labelSelector, names) => {
    expect((await list({ labelSelector })).workloads.map(({ name }) => name)).toEqual(names);
  });

  test("lists nothing of a namespace that does not exist", async () => {
    expect(await list({ namespace: "no-such" })).toMatchObject({ workloads: [], nextPageToken: "" });
  });

  test.each(["=", "a=b=c", "a in b", "a,,b", "a in (x", "-x=y"])("refuses the selector %s", async (labelSelector) => {
    expect(await refused({ labelSelector })).toMatchObject(
      invalid("label_selector", "is not a label selector, such as app=web,tier in (front,back)"),
    );
  });

  test("refuses tokens that it did not make, or made for another list", async () => {
    const { nextPageToken: pageToken } = await list({ pageSize: 1 });
    const [digest] = positionOf(pageToken);
    for (const bad of ["x", "%%%", forged({}), forged([digest]), forged([digest, 1])]) {
      expect(await refused({ pageToken: bad })).toMatchObject(invalid("page_token", NOT_OURS));
    }
    for (const position of ["", "x", [], [1], ["1", ""], [0.5, ""], null, {}]) {
      expect(await refused({ pageToken: forged([digest, position]) })).toMatchObject(invalid("page_token", NOT_OURS));
    }
    for (const other of [
      { namespace: "" },
      { labelSelector: "tier" },
      { group: "apps", version: "v1", resource: "deployments" },
    ]) {
      expect(await refused({ ...other, pageToken })).toMatchObject(invalid("page_token", ANOTHER_LIST));
    }
    expect(await tell(() => world().direct.client.listClusters({ pageToken }))).toMatchObject(
      invalid("page_token", ANOTHER_LIST),
    );
    expect(await refused({ cluster: "reader", pageToken })).toMatchObject(invalid("page_token", ANOTHER_LIST));
  });

  test("refuses a token whose place the API server does not know", async () => {
    const { nextPageToken } = await list({ pageSize: 1 });
    const [digest] = positionOf(nextPageToken);
    const pageToken = forged([digest, [0, "bm90IGEgdG9rZW4"]]);
    expect(await refused({ pageToken })).toMatchObject(invalid("page_token", "has expired: begin again without it"));
    expect(await refused({ pageToken: forged([digest, [99, ""]]) })).toMatchObject(
      invalid("page_token", "is not a token that this service made: begin again without it"),
    );
  });

  test("refuses kinds that cannot be restarted, or are not there", async () => {
    expect(await refused({ group: "batch", version: "v1", resource: "jobs" })).toMatchObject({
      code: "FailedPrecondition",
      reason: "RESTART_NOT_SUPPORTED",
    });
    expect(await refused({ group: "apps", version: "v1", resource: "deployment" })).toMatchObject({
      code: "InvalidArgument",
      reason: "RESOURCE_NOT_RECOGNIZED",
    });
    expect(await refused({ group: "apps", version: "v7", resource: "deployments" })).toMatchObject({
      reason: "API_VERSION_NOT_SERVED",
    });
  });

  const forbidKind = (resource: string) => {
    const message = `${resource}.apps is forbidden: User "patcher" cannot list resource "${resource}" in API group "apps" in the namespace "${namespace}"`;
    const body = { kind: "Status", status: "Failure", message, reason: "Forbidden", code: 403 };
    world().tap.on(
      ({ path }) => path.endsWith(`/namespaces/${namespace}/${resource}`),
      () => ({ status: 403, body: JSON.stringify(body) }),
    );
  };
  const seen = (request: Request = {}) =>
    world().tapped.client.listWorkloads({ cluster: "patcher", namespace, ...request });
  const named = (unavailable: readonly Status[]) =>
    unavailable.map(({ details }) => {
      const info = details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((found) => found !== undefined);
      return [info?.reason, info?.metadata.group, info?.metadata.version, info?.metadata.resource];
    });

  test("names a kind that may not be listed, and lists the others", async () => {
    world().tap.reset();
    forbidKind("statefulsets");
    const { workloads, unavailable, nextPageToken } = await seen();
    expect(workloads.map(keyOf)).toEqual(everything().filter((name) => !name.startsWith("statefulsets")));
    expect(nextPageToken).toBe("");
    expect(unavailable).toMatchObject([
      {
        code: 7,
        message: "cluster patcher: restartd's account may not list statefulsets.apps; RBAC has to grant it that",
      },
    ]);
    expect(named(unavailable)).toEqual([["RBAC_DENIED", "apps", "v1", "statefulsets"]]);
    expect((await seen()).unavailable).toEqual([]); // the negative control
  });

  test("names it on the page on which it would begin", async () => {
    world().tap.reset();
    forbidKind("statefulsets");
    const found: string[] = [];
    const left: unknown[] = [];
    let pageToken = "";
    do {
      const page = await seen({ pageSize: 2, pageToken });
      found.push(...page.workloads.map(keyOf));
      left.push(...named(page.unavailable));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(found).toEqual(everything().filter((name) => !name.startsWith("statefulsets")));
    expect(left).toEqual([["RBAC_DENIED", "apps", "v1", "statefulsets"]]);
  });

  test("names a kind of which it is not known whether it is served", async () => {
    const restartd = world().another();
    world().tap.reset();
    world().tap.on(
      ({ path }) => path === "/apis/argoproj.io/v1alpha1",
      () => ({ status: 403, headers: { "content-type": "text/html" }, body: "<html>no</html>" }),
    );
    const { workloads, unavailable } = await restartd.client.listWorkloads({ cluster: "patcher", namespace });
    expect(workloads.map(keyOf)).toEqual(everything().filter((name) => !name.startsWith("rollouts")));
    expect(named(unavailable)).toEqual([["VENDOR_BAD_RESPONSE", "argoproj.io", "v1alpha1", "rollouts"]]);
  });

  test("leaves out a kind that is asked for by its name with an error", async () => {
    world().tap.reset();
    forbidKind("statefulsets");
    const kind = { group: "apps", version: "v1", resource: "statefulsets" };
    expect(await tell(() => seen(kind))).toMatchObject({ code: "PermissionDenied", reason: "RBAC_DENIED" });
  });

  test("tells who may not list so", async () => {
    expect(await refused({ cluster: "blind" })).toMatchObject({
      code: "PermissionDenied",
      reason: "RBAC_DENIED",
      message: "cluster blind: restartd's account may not list deployments.apps; RBAC has to grant it that",
    });
    expect(await refused({ cluster: "no-such" })).toMatchObject({ code: "NotFound", reason: "CLUSTER_NOT_FOUND" });
  });
}
