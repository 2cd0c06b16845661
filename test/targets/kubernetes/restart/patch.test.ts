import { describe, expect, it } from "vitest";
import { restartPatch, restartValue } from "../../../../src/targets/kubernetes/restart/patch.ts";
import { findKind, type Kind } from "../../../../src/targets/kubernetes/workload/kinds.ts";
import { learn, restartedAt, unread } from "../../../../src/targets/kubernetes/workload/known.ts";
import type { WorkloadObject } from "../../../../src/targets/kubernetes/workload/object.ts";

const kindOf = (group: string, resource: string): Kind => {
  const kind = findKind(group, resource);
  if (kind === undefined) {
    throw new Error(`no kind ${resource}`);
  }
  return kind;
};
const deployments = kindOf("apps", "deployments");
const statefulSets = kindOf("apps", "statefulsets");
const daemonSets = kindOf("apps", "daemonsets");
const rollouts = kindOf("argoproj.io", "rollouts");

const object = (spec: WorkloadObject["spec"]): WorkloadObject => ({
  metadata: { name: "web", uid: "u", resourceVersion: "1", generation: 4 },
  ...(spec && { spec }),
});

const KEY = "kubectl.kubernetes.io/restartedAt";
const POINTER = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
const notDeleted = { op: "test", path: "/metadata/deletionTimestamp", value: null };

describe("restartValue()", () => {
  const now = new Date("2026-05-04T03:02:01.987Z");

  it("has nanoseconds for an annotation: the clock's milliseconds, then the digits", () => {
    expect(restartValue("template annotation", now, undefined, "000042")).toBe("2026-05-04T03:02:01.987000042Z");
  });

  it.each([
    ["never restarted", undefined, "2026-05-04T03:02:02Z"],
    ["restarted long ago", "2020-01-01T00:00:00Z", "2026-05-04T03:02:02Z"],
    ["restarted in this second", "2026-05-04T03:02:02Z", "2026-05-04T03:02:03Z"],
    ["restarted a second ago", "2026-05-04T03:02:01Z", "2026-05-04T03:02:02Z"],
    ["ahead of our clock", "2026-05-04T03:02:09Z", "2026-05-04T03:02:10Z"],
    ["ahead, in another zone", "2026-05-04T05:02:09+02:00", "2026-05-04T03:02:10Z"],
    ["with a fraction", "2026-05-04T03:02:01.400Z", "2026-05-04T03:02:02Z"],
    ["with a fraction of the next second", "2026-05-04T03:02:02.400Z", "2026-05-04T03:02:03Z"],
    ["with garbage", "soon", "2026-05-04T03:02:02Z"],
  ])("is the next whole second, and later than the last, for spec.restartAt: %s", (_what, previous, value) => {
    expect(restartValue("spec.restartAt", now, previous, "000042")).toBe(value);
  });
});

describe("restartedAt()", () => {
  it.each([
    ["an annotation", deployments, { template: { metadata: { annotations: { [KEY]: "x" } } } }, "x"],
    ["no annotations", deployments, { template: { metadata: {} } }, undefined],
    ["no template", deployments, {}, undefined],
    ["a restartAt", rollouts, { restartAt: "y" }, "y"],
    ["a null restartAt", rollouts, { restartAt: null }, undefined],
  ])("finds %s", (_what, kind, spec, value) => {
    expect(restartedAt(kind, object(spec))).toBe(value);
  });
});

describe("restartPatch()", () => {
  it("sets one annotation where there are some, and tests what was read", () => {
    const known = learn(deployments, object({ template: { metadata: { annotations: { a: "1" } } } }));
    expect(restartPatch(deployments, known, "v", "u")).toEqual([
      notDeleted,
      { op: "test", path: "/metadata/uid", value: "u" },
      { op: "test", path: "/spec/paused", value: null },
      { op: "add", path: POINTER, value: "v" },
    ]);
  });

  it("replaces its own annotation by the same operation", () => {
    const known = learn(
      deployments,
      object({ paused: false, template: { metadata: { annotations: { [KEY]: "old" } } } }),
    );
    expect(restartPatch(deployments, known, "v")).toEqual([
      notDeleted,
      { op: "test", path: "/spec/paused", value: false },
      { op: "add", path: POINTER, value: "v" },
    ]);
  });

  it.each([
    ["annotations", { template: { metadata: {} } }, "/spec/template/metadata/annotations", { [KEY]: "v" }],
    ["metadata", { template: {} }, "/spec/template/metadata", { annotations: { [KEY]: "v" } }],
  ])("creates missing %s only while they are missing", (_what, spec, path, value) => {
    const known = learn(deployments, object(spec));
    expect(restartPatch(deployments, known, "v").slice(2)).toEqual([
      { op: "test", path, value: null },
      { op: "add", path, value },
    ]);
  });

  it("holds a StatefulSet to its strategy and its partition", () => {
    const updateStrategy = { type: "RollingUpdate", rollingUpdate: { partition: 2 } };
    const known = learn(statefulSets, object({ replicas: 3, updateStrategy }));
    expect(known.tests).toEqual([
      { op: "test", path: "/spec/updateStrategy/type", value: "RollingUpdate" },
      { op: "test", path: "/spec/updateStrategy/rollingUpdate/partition", value: 2 },
      // Scaling down to the partition would leave nothing to restart.
      { op: "test", path: "/spec/replicas", value: 3 },
    ]);
  });

  it("tests the parent where a parent of the partition is missing: below it, a test would be an error", () => {
    const known = learn(statefulSets, object({ updateStrategy: { type: "RollingUpdate" } }));
    expect(known.tests.at(-1)).toEqual({ op: "test", path: "/spec/updateStrategy/rollingUpdate", value: null });
  });

  it("holds an Argo Rollout to the value that the new one was made from", () => {
    const known = learn(rollouts, object({ restartAt: "old" }));
    expect(restartPatch(rollouts, known, "v")).toEqual([
      notDeleted,
      { op: "test", path: "/spec/restartAt", value: "old" },
      { op: "add", path: "/spec/restartAt", value: "v" },
    ]);
    expect(restartPatch(rollouts, learn(rollouts, object({})), "v")[1]).toEqual({
      op: "test",
      path: "/spec/restartAt",
      value: null,
    });
  });

  it.each([
    ["deployments", deployments, [["/spec/paused", null]]],
    ["daemonsets", daemonSets, [["/spec/updateStrategy/type", "RollingUpdate"]]],
    [
      "statefulsets",
      statefulSets,
      [
        ["/spec/updateStrategy/type", "RollingUpdate"],
        ["/spec/updateStrategy/rollingUpdate/partition", 0],
      ],
    ],
  ])("holds unread %s to the values that every restart may have", (_what, kind, tests) => {
    const patch = restartPatch(kind, unread(kind, true), "v");
    expect(patch).toEqual([
      notDeleted,
      ...tests.map(([path, value]) => ({ op: "test", path, value })),
      { op: "add", path: POINTER, value: "v" },
    ]);
  });

  it("never holds anything but tests before the one add, which is last", () => {
    for (const kind of [deployments, statefulSets, daemonSets, rollouts]) {
      for (const known of [learn(kind, object({})), unread(kind, true), unread(kind, false)]) {
        const operations = restartPatch(kind, known, "v", "u").map(({ op }) => op);
        expect(operations.lastIndexOf("test")).toBe(operations.length - 2);
        expect(operations.filter((op) => op === "add")).toHaveLength(1);
      }
    }
  });
});
