import { describe, expect, it } from "vitest";
import {
  refusalByGuards,
  refusalByState,
  stripped,
  warningsOf,
} from "../../../../src/targets/kubernetes/restart/state.ts";
import { KINDS, type Kind } from "../../../../src/targets/kubernetes/workload/kinds.ts";
import type { WorkloadObject } from "../../../../src/targets/kubernetes/workload/object.ts";

type Parts = Omit<Partial<WorkloadObject>, "metadata"> & { metadata?: Partial<WorkloadObject["metadata"]> };

const kind = (resource: string): Kind => {
  const found = KINDS.find((candidate) => candidate.resource === resource);
  if (found === undefined) {
    throw new Error(`no kind ${resource}`);
  }
  return found;
};
const object = ({ metadata, ...rest }: Parts = {}): WorkloadObject => ({
  metadata: { name: "web", uid: "u", resourceVersion: "1", ...metadata },
  ...rest,
});
const ref = (resource: string) => ({
  cluster: "c",
  group: "apps",
  version: "v1",
  resource,
  namespace: "shop",
  name: "web",
});
const now = new Date("2026-05-04T03:02:01Z");

describe("refusalByState()", () => {
  const deletionTimestamp = "2026-05-04T03:00:00Z";
  it.each<readonly [string, string, Parts, string | undefined]>([
    ["a healthy Deployment", "deployments", {}, undefined],
    ["a paused one", "deployments", { spec: { paused: true } }, "PAUSED"],
    [
      "a paused one that is being deleted",
      "deployments",
      { metadata: { deletionTimestamp }, spec: { paused: true } },
      "DELETING",
    ],
    ["OnDelete", "daemonsets", { spec: { updateStrategy: { type: "OnDelete" } } }, "UPDATE_STRATEGY_ON_DELETE"],
    ["OnDelete", "statefulsets", { spec: { updateStrategy: { type: "OnDelete" } } }, "UPDATE_STRATEGY_ON_DELETE"],
    ["Recreate", "statefulsets", { spec: { updateStrategy: { type: "Recreate" } } }, undefined],
    ["partition 1 of 2", "statefulsets", partitioned(1, 2), undefined],
    ["partition 2 of 2", "statefulsets", partitioned(2, 2), "NOTHING_TO_RESTART"],
    ["partition 3 of 2", "statefulsets", partitioned(3, 2), "NOTHING_TO_RESTART"],
    ["partition 1 of the default", "statefulsets", partitioned(1, undefined), "NOTHING_TO_RESTART"],
    ["partition 1 of none, of which nothing is kept", "statefulsets", partitioned(1, 0), undefined],
    ["a paused Rollout", "rollouts", { spec: { paused: true } }, undefined],
    ["a Rollout restarted a minute ahead", "rollouts", { spec: { restartAt: "2026-05-04T03:03:01Z" } }, undefined],
    [
      "a Rollout scheduled for later",
      "rollouts",
      { spec: { restartAt: "2026-05-04T03:03:02Z" } },
      "TARGET_STATE_FORBIDS",
    ],
    ["a Rollout whose restartAt is garbage", "rollouts", { spec: { restartAt: "soon" } }, undefined],
  ])("%s of %s", (_what, resource, parts, reason) => {
    expect(refusalByState(kind(resource), object(parts), ref(resource), now.getTime())?.reason).toBe(reason);
  });

  function partitioned(partition: number, replicas: number | undefined): Parts {
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition } };
    return { spec: { updateStrategy, ...(replicas !== undefined && { replicas }) } };
  }
});

describe("refusalByGuards()", () => {
  it("says that a restart was applied which its own answer shows to have no effect", () => {
    const paused = object({ spec: { paused: true } });
    const refusal = refusalByGuards(kind("deployments"), paused, ref("deployments"), "applied");
    expect([refusal?.reason, refusal?.outcome]).toEqual(["PAUSED", "applied"]);
  });
});

describe("stripped()", () => {
  it.each([
    [undefined, "ANNOTATION_STRIPPED"],
    ['299 - "something else"', "ANNOTATION_STRIPPED"],
    ['299 - "unknown field \\"spec.template\\""', "RESTART_NOT_SUPPORTED"],
  ])("judges by the server's warning %j", (warning, reason) => {
    expect(stripped(ref("deployments"), warning).reason).toBe(reason);
  });
});

describe("warningsOf()", () => {
  const apply = (manager: string, subresource?: string) => ({
    metadata: { managedFields: [{ operation: "Apply", manager, ...(subresource && { subresource }) }] },
  });
  const owner = { kind: "X", name: "x" };
  const labelled = (labels: Record<string, string>): Parts => ({ metadata: { labels } });
  const managed = (who: string) => [`MANAGED_BY_CONTROLLER: ${who} manages the object and may take the restart back.`];
  it.each<readonly [string, string, Parts, string[]]>([
    ["nothing", "deployments", { spec: { replicas: 2 } }, []],
    ["the default of one replica", "deployments", {}, []],
    ["no replicas", "deployments", { spec: { replicas: 0 } }, ["NO_REPLICAS"]],
    ["no replicas", "statefulsets", { spec: { replicas: 0 } }, ["NO_REPLICAS"]],
    ["no replicas", "rollouts", { spec: { replicas: 0 } }, ["NO_REPLICAS"]],
    ["no nodes", "daemonsets", { status: { observedGeneration: 1, desiredNumberScheduled: 0 } }, ["NO_REPLICAS"]],
    ["no nodes, the zero left out", "daemonsets", { status: { observedGeneration: 1 } }, ["NO_REPLICAS"]],
    ["nodes not counted yet", "daemonsets", { status: { desiredNumberScheduled: 0 } }, []],
    ["no status yet", "daemonsets", { spec: { updateStrategy: { type: "RollingUpdate" } } }, []],
    ["two nodes", "daemonsets", { status: { observedGeneration: 1, desiredNumberScheduled: 2 } }, []],
    ["Recreate", "deployments", { spec: { strategy: { type: "Recreate" } } }, ["RECREATE_DOWNTIME"]],
    ["row 28: Recreate", "statefulsets", { spec: { updateStrategy: { type: "Recreate" } } }, ["RECREATE_DOWNTIME"]],
    [
      "a partition",
      "statefulsets",
      { spec: { replicas: 3, updateStrategy: { rollingUpdate: { partition: 1 } } } },
      ["PARTITIONED"],
    ],
    [
      "a controller",
      "deployments",
      {
        metadata: {
          ownerReferences: [
            { ...owner, name: "y" },
            { ...owner, controller: true },
          ],
        },
      },
      managed("X x"),
    ],
    ["an owner that is no controller", "deployments", { metadata: { ownerReferences: [owner] } }, managed("X x")],
    [
      "OLM, by the owner that it is",
      "deployments",
      {
        metadata: {
          ownerReferences: [{ kind: "ClusterServiceVersion", name: "etcdoperator.v0.9.4", controller: false }],
        },
      },
      managed("ClusterServiceVersion etcdoperator.v0.9.4"),
    ],
    [
      "OLM, by its label",
      "deployments",
      labelled({ "olm.owner": "etcd.v1", "olm.owner.kind": "x" }),
      managed("OLM etcd.v1"),
    ],
    [
      "OLM, by an operator's label",
      "deployments",
      labelled({ "operators.coreos.com/etcd.operators": "" }),
      managed("OLM"),
    ],
    [
      "a Kustomization of Flux",
      "deployments",
      labelled({ "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system" }),
      managed("Flux (Kustomization) apps"),
    ],
    [
      "a HelmRelease of Flux",
      "statefulsets",
      labelled({ "helm.toolkit.fluxcd.io/name": "db", "app.kubernetes.io/managed-by": "Helm" }),
      managed("Flux (HelmRelease) db"),
    ],
    ["the apply of Flux", "deployments", apply("kustomize-controller"), managed("Flux (Kustomization)")],
    [
      "the addon manager",
      "daemonsets",
      labelled({ "addonmanager.kubernetes.io/mode": "Reconcile" }),
      managed("the addon manager"),
    ],
    [
      "OpenShift's own",
      "deployments",
      { metadata: { annotations: { "include.release.openshift.io/single-node-developer": "true" } } },
      managed("OpenShift's cluster version operator"),
    ],
    ["helm --server-side", "deployments", apply("helm"), []],
    ["Helm", "deployments", labelled({ "app.kubernetes.io/managed-by": "Helm" }), []],
    ["Argo CD's server-side apply", "deployments", apply("argocd-controller"), []],
    [
      "Argo CD",
      "deployments",
      {
        metadata: {
          labels: { "app.kubernetes.io/instance": "a" },
          annotations: { "argocd.argoproj.io/tracking-id": "a:apps/Deployment:x/y" },
        },
      },
      [],
    ],
    ["a person's apply", "deployments", apply("kubectl"), []],
    ["a person's first apply on the server", "deployments", apply("kubectl-last-applied"), []],
    ["an apply of the status", "deployments", apply("some-controller", "status"), []],
  ])("of %s of %s", (_what, resource, parts, warnings) => {
    expect(warningsOf(kind(resource), object(parts), { blind: false, warned: false })).toEqual(warnings);
  });

  it("keeps the order of the closed list", () => {
    const all = object({
      metadata: { ownerReferences: [{ ...owner, controller: true }] },
      spec: {
        replicas: 0,
        strategy: { type: "Recreate" },
        updateStrategy: { rollingUpdate: { partition: 1 } },
      },
    });
    expect(warningsOf(kind("deployments"), all, { blind: true, warned: true })).toEqual([
      "NO_REPLICAS",
      "RECREATE_DOWNTIME",
      "PARTITIONED",
      "PREFLIGHT_SKIPPED",
      ...managed("X x"),
      "SERVER_WARNING",
    ]);
  });
});
