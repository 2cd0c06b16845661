import { describe, expect, it } from "vitest";
import { notSupported } from "../../../../src/targets/kubernetes/workload/hints.ts";
import { findKind, KINDS } from "../../../../src/targets/kubernetes/workload/kinds.ts";

describe("KINDS", () => {
  it("are what kubectl restarts, and Argo's Rollouts", () => {
    expect(KINDS.map(({ resource, group, mechanism }) => [`${resource}.${group}`, mechanism])).toEqual([
      ["deployments.apps", "template annotation"],
      ["statefulsets.apps", "template annotation"],
      ["daemonsets.apps", "template annotation"],
      ["deployments.extensions", "template annotation"],
      ["daemonsets.extensions", "template annotation"],
      ["rollouts.argoproj.io", "spec.restartAt"],
    ]);
  });

  it("are found by group and plural alone", () => {
    expect(findKind("apps", "deployments")).toBe(KINDS[0]);
    for (const [group, resource] of [
      ["apps", "Deployments"],
      ["apps", "replicasets"],
      ["", "deployments"],
      ["extensions", "statefulsets"],
      ["example.com", "rollouts"],
    ] as const) {
      expect(findKind(group, resource)).toBeUndefined();
    }
  });
});

describe("notSupported()", () => {
  const refuse = (group: string, resource: string) =>
    notSupported({ cluster: "c", group, version: "v1", resource, namespace: "shop", name: "x" });
  const links = (group: string, resource: string) =>
    refuse(group, resource).details.filter(({ desc }) => desc.name === "Help");

  it.each([
    ["kubevirt.io", "virtualmachines"],
    ["apps.openshift.io", "deploymentconfigs"],
    ["postgresql.cnpg.io", "clusters"],
    ["core.strimzi.io", "strimzipodsets"],
    ["elasticsearch.k8s.elastic.co", "elasticsearches"],
    ["apps.kruise.io", "clonesets"],
    ["cassandra.datastax.com", "cassandradatacenters"],
    ["scylla.scylladb.com", "scyllaclusters"],
    ["postgres-operator.crunchydata.com", "postgresclusters"],
    ["serving.knative.dev", "services"],
    ["cluster.x-k8s.io", "machinedeployments"],
  ])("row 17: knows the right way for %s %s", (group, resource) => {
    const [link] = links(group, resource);
    expect(link?.value).toEqual({
      links: [{ description: expect.any(String), url: expect.stringMatching(/^https:\/\//) }],
    });
    expect(refuse(group, resource).message).toMatch(`${resource}.${group} "x" restarting is not supported; `);
  });

  it("does not take one group's resource for another's", () => {
    expect(links("", "services")).toEqual([]);
    expect(links("example.com", "pods")).toEqual([]);
    expect(refuse("example.com", "pods").message).toBe(
      'pods.example.com "x" restarting is not supported; what can be restarted: deployments.apps, statefulsets.apps, daemonsets.apps, rollouts.argoproj.io',
    );
  });
});
