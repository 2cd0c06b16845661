import { describe, expect, it } from "vitest";
import type { WorkloadObject } from "../../../../src/targets/kubernetes/workload/object.ts";
import { missingOf, type Pod, podProblem } from "../../../../src/targets/kubernetes/workload/pods.ts";

const web: WorkloadObject = { metadata: { name: "web", uid: "u", resourceVersion: "1" } };
const ownerReferences = [{ controller: true, kind: "ReplicaSet", name: "web-7d9", uid: "r" }];

const pod = (status: Pod["status"], metadata: Partial<Pod["metadata"]> = {}): Pod => ({
  metadata: { name: "web-7d9-x", ownerReferences, ...metadata },
  ...(status && { status }),
});

type Container = NonNullable<NonNullable<Pod["status"]>["containerStatuses"]>[number];
const running = (container: Partial<Container>): Pod =>
  pod({ phase: "Running", containerStatuses: [{ name: "c", ready: false, ...container }] });

const unscheduled = pod({
  phase: "Pending",
  conditions: [
    {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message: "0/3 nodes are available: 3 Insufficient memory.",
    },
  ],
});
const crashing = running({
  restartCount: 5,
  state: { waiting: { reason: "CrashLoopBackOff", message: "back-off 5m0s restarting failed container=c" } },
  lastState: { terminated: { reason: "Error", exitCode: 1 } },
});

describe("podProblem()", () => {
  it.each<readonly [string, Pod, string]>([
    ["a crash loop", crashing, "container c: CrashLoopBackOff, Error with exit code 1, restarted 5 times"],
    [
      "no memory",
      running({
        restartCount: 1,
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState: { terminated: { reason: "OOMKilled", exitCode: 137 } },
      }),
      "container c: CrashLoopBackOff, OOMKilled with exit code 137, restarted 1 times",
    ],
    [
      "an image that is not there, without the address that it was asked of",
      running({
        state: {
          waiting: {
            reason: "ErrImagePull",
            message:
              'failed to pull image "shop/web:2": Head "https://u:secret@registry.example.com/v2/shop/web?token=t": 401',
          },
        },
      }),
      'container c: ErrImagePull: failed to pull image "shop/web:2": Head "(address)": 401',
    ],
    [
      "the back-off of an image",
      running({ state: { waiting: { reason: "ImagePullBackOff", message: 'Back-off pulling image "shop/web:2"' } } }),
      'container c: ImagePullBackOff: Back-off pulling image "shop/web:2"',
    ],
    [
      "a Secret that is not there",
      running({ state: { waiting: { reason: "CreateContainerConfigError", message: 'secret "db" not found' } } }),
      'container c: CreateContainerConfigError: secret "db" not found',
    ],
    [
      "a container that just ended with an error",
      running({ state: { terminated: { reason: "Error", exitCode: 2 } } }),
      "container c ended, Error with exit code 2",
    ],
    [
      "a container that was ended by its liveness probe and runs again",
      running({
        restartCount: 2,
        state: { running: {} },
        lastState: { terminated: { reason: "Error", exitCode: 137 } },
      }),
      "container c is not ready, Error with exit code 137, restarted 2 times",
    ],
    ["a container that is not ready", running({ state: { running: {} } }), "container c runs and is not ready"],
    [
      "an init container",
      pod({
        phase: "Pending",
        initContainerStatuses: [{ name: "migrate", state: { waiting: { reason: "CrashLoopBackOff" } } }],
        containerStatuses: [{ name: "c", ready: false, state: { waiting: { reason: "PodInitializing" } } }],
      }),
      "container migrate: CrashLoopBackOff",
    ],
    ["no node", unscheduled, "Unschedulable: 0/3 nodes are available: 3 Insufficient memory."],
    [
      "a scheduling gate",
      pod({ conditions: [{ type: "PodScheduled", status: "False", reason: "SchedulingGated" }] }),
      "SchedulingGated",
    ],
    [
      "a node that has no room",
      pod({ phase: "Failed", reason: "Evicted", message: "The node was low on resource: ephemeral-storage." }),
      "Evicted: The node was low on resource: ephemeral-storage.",
    ],
    [
      "a readiness gate",
      pod({
        phase: "Running",
        containerStatuses: [{ name: "c", ready: true, state: { running: {} } }],
        conditions: [
          {
            type: "Ready",
            status: "False",
            reason: "ReadinessGatesNotReady",
            message: 'the status of pod readiness gate "x" is not "True", but False',
          },
        ],
      }),
      'ReadinessGatesNotReady: the status of pod readiness gate "x" is not "True", but False',
    ],
    [
      "a finalizer",
      pod({ phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: ["example.com/f"] }),
      "it does not end: finalizers example.com/f",
    ],
  ])("%s", (_what, one, sentence) => {
    expect(podProblem(web, [one])).toBe(`pod web-7d9-x: ${sentence}`);
  });

  it.each<readonly [string, Pod]>([
    ["is ready", pod({ phase: "Running", containerStatuses: [{ name: "c", ready: true, state: { running: {} } }] })],
    ["is made", running({ state: { waiting: { reason: "ContainerCreating" } } })],
    ["was just made", pod(undefined)],
    ["ends", pod({ phase: "Running" }, { deletionTimestamp: "2026-01-01T00:00:00Z" })],
    ["is somebody else's", { ...crashing, metadata: { name: "other-1", ownerReferences: [] } }],
    [
      "is another Deployment's",
      {
        ...crashing,
        metadata: {
          name: "api-1",
          ownerReferences: [{ controller: true, kind: "ReplicaSet", name: "api-1", uid: "x" }],
        },
      },
    ],
  ])("says nothing of one that %s", (_what, one) => {
    expect(podProblem(web, [one])).toBe("");
  });

  it("names the gravest, of the newest pod, and how many there are", () => {
    const named = (one: Pod, name: string, creationTimestamp: string): Pod => ({
      ...one,
      metadata: { ...one.metadata, name, creationTimestamp },
    });
    const pods = [
      named(running({ state: { running: {} } }), "web-d", "2026-01-04T00:00:00Z"),
      named(crashing, "web-a", "2026-01-01T00:00:00Z"),
      named(unscheduled, "web-c", "2026-01-03T00:00:00Z"),
      named(crashing, "web-b", "2026-01-02T00:00:00Z"),
    ];
    expect(podProblem(web, pods)).toMatch(/^pod web-c: Unschedulable: .* \(and 3 more of its pods do not run\)$/);
  });

  it("knows the pods of a StatefulSet by its uid", () => {
    const own = [{ controller: true, kind: "StatefulSet", name: "db", uid: "u" }];
    const one = { ...crashing, metadata: { name: "db-0", ownerReferences: own } };
    expect(podProblem({ metadata: { ...web.metadata, name: "db" } }, [one])).toContain("pod db-0: container c");
  });
});

describe("missingOf()", () => {
  const own = (ready: string, metadata: Partial<Pod["metadata"]> = {}): Pod => ({
    metadata: {
      name: "web-0",
      ownerReferences: [{ controller: true, kind: "StatefulSet", name: "web", uid: "u" }],
      ...metadata,
    },
    status: { conditions: [{ type: "Ready", status: ready }] },
  });
  const why =
    "where that stays so, something refuses them (a quota, an admission webhook), and the events of web say what";

  it.each<readonly [string, readonly Pod[], string]>([
    ["one is refused", [own("True"), own("True")], `1 of 3 pods does not exist: ${why}`],
    ["all are refused", [], `3 of 3 pods do not exist: ${why}`],
    ["the next one waits for this one", [own("False")], ""],
    ["one is on its way out", [own("True"), own("True", { deletionTimestamp: "2026-01-01T00:00:00Z" })], ""],
    ["all are there", [own("True"), own("True"), own("True")], ""],
    [
      "another's pods match too",
      [own("True"), own("True"), pod({ phase: "Running" })],
      `1 of 3 pods does not exist: ${why}`,
    ],
  ])("%s", (_what, pods, said) => {
    expect(missingOf(web, pods, 3)).toBe(said);
  });
});
