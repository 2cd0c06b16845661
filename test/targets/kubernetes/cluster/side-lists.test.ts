import { describe, expect, test } from "vitest";
import { createPodProblems } from "../../../../src/targets/kubernetes/cluster/pod-problems.ts";
import { createSideList } from "../../../../src/targets/kubernetes/cluster/side-list.ts";
import { createTemplateUser } from "../../../../src/targets/kubernetes/cluster/template-users.ts";
import { findKind, type Kind } from "../../../../src/targets/kubernetes/workload/kinds.ts";
import { answer, type Reply, refusal, scriptedClient } from "../scripted-client.ts";

const ref = { cluster: "c", group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" };
const kind = findKind("apps", "deployments") as Kind;
const object = {
  metadata: { name: "web", uid: "u", resourceVersion: "1", generation: 1 },
  spec: { replicas: 1, selector: { matchLabels: { app: "web" } } },
  status: { observedGeneration: 1 },
};
const complete = {
  ...object,
  status: { observedGeneration: 1, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1 },
};

/** Lists on a script, on a clock of their own. */
function scripted(script: (count: number) => Reply) {
  let now = 0;
  const { client, asked } = scriptedClient((_, count) => script(count));
  const monotonic = () => now;
  const list = createSideList("c", client, monotonic);
  const pass = (ms: number) => {
    now += ms;
  };
  return { list, monotonic, asked, pass };
}

const forbidden = refusal(403, `pods is forbidden: User "x" cannot list resource "pods" in API group ""`, "Forbidden");
const nobody = refusal(
  403,
  'pods is forbidden: User "x" cannot impersonate-on:user-info:list resource "pods"',
  "Forbidden",
);
const absent = refusal(404, "the server could not find the requested resource", "NotFound");

describe("createSideList()", () => {
  test.each([
    ["forbidden", forbidden],
    ["not to be asked for in somebody's name", nobody],
    ["not served", absent],
  ])("believes for a minute that something is %s", async (_what, refused) => {
    const { list, asked, pass } = scripted((count) => (count === 0 ? refused : answer(200, { items: [1] })));
    expect(await list("/a")).toBe("denied");
    pass(59_999);
    expect(await list("/a")).toBe("denied");
    expect(asked).toHaveLength(1);
    expect(await list("/b")).toEqual([1]);
    pass(1);
    expect(await list("/a")).toEqual([1]);
  });

  test.each([
    ["a page", answer(200, undefined), "VENDOR_BAD_RESPONSE"],
    ["a Status", refusal(500, "no", "InternalError"), "VENDOR_INTERNAL_ERROR"],
    ["no answer", new Error("cut"), "CLUSTER_UNREACHABLE"],
    ["a proxy's 403", answer(403, { message: "no" }), "VENDOR_BAD_RESPONSE"],
  ])("tells of a failure, %s, and asks again", async (_what, failed, reason) => {
    const { list } = scripted((count) => (count === 0 ? failed : answer(200, { items: [] })));
    expect(await list("/a")).toMatchObject({ reason });
    expect(await list("/a")).toEqual([]);
  });
});

describe("createPodProblems()", () => {
  test("does not ask about a rollout that is complete, or that nobody has seen yet", async () => {
    const { list, monotonic, asked } = scripted(() => answer(200, { items: [] }));
    const problems = createPodProblems(list, monotonic);
    expect(await problems.look(kind, ref, complete, 0)).toBeUndefined();
    expect(await problems.look(kind, ref, { ...object, status: {} }, 0)).toBeUndefined();
    expect(asked).toEqual([]);
    expect(await problems.look(kind, ref, object, 0)).toBe("");
    expect(asked.map(({ path, query }) => [path, query])).toEqual([
      ["/api/v1/namespaces/shop/pods", { resourceVersion: "0", labelSelector: "app in (web)" }],
    ]);
  });

  test("shares a look with who comes meanwhile, and with who takes an old one", async () => {
    const { list, monotonic, asked, pass } = scripted(() => answer(200, { items: [] }));
    const problems = createPodProblems(list, monotonic);
    await Promise.all([1, 2, 3].map(() => problems.look(kind, ref, object, 0)));
    expect(asked).toHaveLength(1);
    pass(1_999);
    await problems.look(kind, ref, object, 0, 2_000);
    expect(asked).toHaveLength(1);
    await problems.look(kind, ref, object, 0);
    expect(asked).toHaveLength(2);
    pass(2_000);
    await problems.look(kind, ref, object, 0, 2_000);
    expect(asked).toHaveLength(3);
  });

  test("says nothing where nobody may look, and that it could not look where that failed", async () => {
    const denied = scripted(() => forbidden);
    expect(await createPodProblems(denied.list, denied.monotonic).look(kind, ref, object, 0)).toBeUndefined();
    const failing = scripted(() => new Error("cut"));
    expect(await createPodProblems(failing.list, failing.monotonic).look(kind, ref, object, 0)).toBe(
      "its pods could not be looked at (CLUSTER_UNREACHABLE)",
    );
  });
});

describe("a budget that lets no pod of a Rollout be evicted", () => {
  const rollouts = findKind("argoproj.io", "rollouts") as Kind;
  const restarting = {
    metadata: object.metadata,
    spec: { replicas: 1, restartAt: "2026-01-01T00:00:00Z", workloadRef: { kind: "Deployment", name: "x" } },
    status: { observedGeneration: "1", availableReplicas: 1, selector: "app=web" },
  };
  const ownerReferences = [{ controller: true, kind: "ReplicaSet", name: "web-1", uid: "r" }];
  const pods = [{ metadata: { name: "web-1-x", labels: { app: "web" }, ownerReferences }, status: {} }];
  const budget = (name: string, app: string, disruptionsAllowed: number) => ({
    metadata: { name },
    spec: { selector: { matchLabels: { app } } },
    status: { disruptionsAllowed },
  });

  test.each([
    [
      "by the labels of its pods, where it takes another's template",
      [budget("other", "api", 0), budget("mine", "web", 0)],
      "mine",
    ],
    ["and no other", [budget("other", "api", 0), budget("mine", "web", 1)], undefined],
  ])("is found %s", async (_what, budgets, name) => {
    const { client, asked } = scriptedClient(({ path }) =>
      answer(200, { items: path.endsWith("/pods") ? pods : budgets }),
    );
    const problems = createPodProblems(
      createSideList("c", client, () => 0),
      () => 0,
    );
    const found = await problems.look(rollouts, { ...ref, group: "argoproj.io", resource: "rollouts" }, restarting, 0);
    const sentence = `PodDisruptionBudget ${name} lets no pod be evicted (disruptionsAllowed is 0)`;
    expect(found).toBe(name === undefined ? "" : sentence);
    expect(asked.map(({ query }) => query.labelSelector)).toEqual(["app=web", undefined]);
  });
});

describe("createTemplateUser()", () => {
  const rollout = (name: string, workloadRef: object) => ({ metadata: { name }, spec: { workloadRef } });
  const items = [
    rollout("other", { apiVersion: "apps/v1", kind: "Deployment", name: "api" }),
    rollout("set", { apiVersion: "apps/v1", kind: "ReplicaSet", name: "web" }),
    { metadata: { name: "own" }, spec: {} },
    rollout("taker", { apiVersion: "apps/v1", kind: "Deployment", name: "web" }),
  ];

  test("finds it, and remembers the Rollouts of a namespace for ten seconds", async () => {
    const { list, monotonic, asked, pass } = scripted((count) => answer(200, { items: count === 0 ? [] : items }));
    const userOf = createTemplateUser(list, monotonic);
    expect(await userOf(ref)).toBeUndefined();
    pass(9_999);
    expect(await userOf({ ...ref, name: "api" })).toBeUndefined();
    expect(asked.map(({ path }) => path)).toEqual(["/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts"]);
    pass(1);
    expect(await userOf(ref)).toBe("taker");
    expect(await userOf({ ...ref, resource: "statefulsets" })).toBeUndefined();
    expect(await userOf({ ...ref, name: "worker" })).toBeUndefined();
    expect(asked).toHaveLength(2);
  });

  test.each([
    ["is not served", absent],
    ["may not be listed", forbidden],
    ["cannot be reached", new Error("cut")],
  ])("knows of none where Argo %s", async (_what, reply) => {
    const { list, monotonic } = scripted(() => reply);
    expect(await createTemplateUser(list, monotonic)(ref)).toBeUndefined();
  });
});
