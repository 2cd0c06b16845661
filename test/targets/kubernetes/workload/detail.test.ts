import { describe, expect, test } from "vitest";
import { Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type { WorkloadObject } from "../../../../src/targets/kubernetes/workload/object.ts";
import {
  deploymentStatus,
  rolloutStatus,
  statefulSetStatus,
} from "../../../../src/targets/kubernetes/workload/status.ts";

const { PENDING, PROGRESSING, COMPLETE, STALLED } = Rollout_State;

type Spec = NonNullable<WorkloadObject["spec"]>;
type Status = NonNullable<WorkloadObject["status"]>;

const workload = (spec: Spec, status: Status, generation = 2): WorkloadObject => ({
  metadata: { name: "web", namespace: "shop", uid: "u", resourceVersion: "7", generation },
  spec,
  status: { observedGeneration: generation, ...status },
});

const AT = "2026-01-01T00:00:00Z";
const NOW = Date.parse(AT) + 1_000;
const whole = { replicas: 2, updatedReplicas: 2, readyReplicas: 2, availableReplicas: 2 };
const timedOut = {
  phase: "Degraded",
  message: 'ProgressDeadlineExceeded: ReplicaSet "web-1" has timed out progressing.',
};
const aborted = {
  phase: "Degraded",
  message: "RolloutAborted: Rollout aborted update to revision 2",
  abort: true,
};
const invalid = {
  conditions: [{ type: "InvalidSpec", status: "True", reason: "InvalidSpec", message: "spec.x: Required value: x" }],
};
const none = "Argo Rollouts evicts no pod while 0 of 2 are available";

describe("rolloutStatus()", () => {
  test.each<readonly [string, Spec, Status, Rollout_State, string]>([
    ["is well", { replicas: 2 }, { ...whole, phase: "Healthy" }, COMPLETE, ""],
    [
      "restarts",
      { replicas: 2, restartAt: AT },
      { ...whole, phase: "Progressing", message: "rollout is restarting" },
      PROGRESSING,
      "Progressing: rollout is restarting",
    ],
    ["has no pod to spare", { replicas: 2, restartAt: AT }, { ...whole, availableReplicas: 0 }, PROGRESSING, none],
    [
      "waits for a pod that has just been evicted",
      { replicas: 4, restartAt: AT, strategy: { canary: { maxUnavailable: "50%" } } },
      { ...whole, availableReplicas: 3 },
      PROGRESSING,
      "",
    ],
    [
      "may miss so many, and not one more",
      { replicas: 4, restartAt: AT, strategy: { canary: { maxUnavailable: 2 } } },
      { ...whole, availableReplicas: 2 },
      PROGRESSING,
      "Argo Rollouts evicts no pod while 2 of 4 are available",
    ],
    [
      "has an appointment: that no pod is available holds nothing up yet",
      { replicas: 2, restartAt: "2026-02-01T00:00:00Z" },
      { ...whole, availableReplicas: 0 },
      PROGRESSING,
      "",
    ],
    [
      "is done, and its canary waits for a person",
      { replicas: 2, restartAt: AT },
      { ...whole, restartedAt: AT, phase: "Paused", message: "CanaryPauseStep" },
      COMPLETE,
      "Paused: CanaryPauseStep",
    ],
    [
      "has timed out",
      { replicas: 2, restartAt: AT },
      { ...whole, availableReplicas: 0, ...timedOut },
      STALLED,
      `Degraded: ${timedOut.message}`,
    ],
    [
      "has timed out without a restart",
      { replicas: 2 },
      { ...whole, ...timedOut },
      STALLED,
      `Degraded: ${timedOut.message}`,
    ],
    [
      "was aborted: its pods are restarted all the same",
      { replicas: 2, restartAt: AT },
      { ...whole, ...aborted },
      PROGRESSING,
      `Degraded: ${aborted.message}`,
    ],
    [
      "was aborted, and has been restarted",
      { replicas: 2, restartAt: AT },
      { ...whole, ...aborted, restartedAt: AT },
      COMPLETE,
      `Degraded: ${aborted.message}`,
    ],
    [
      "has an invalid spec, of a controller without phases",
      { replicas: 2 },
      { ...whole, ...invalid },
      STALLED,
      "InvalidSpec: spec.x: Required value: x",
    ],
  ])("of one that %s", (_what, spec, status, state, detail) => {
    const found = rolloutStatus(workload(spec, status), NOW);
    expect([found.state, found.detail]).toEqual([state, detail]);
    expect(found.message).not.toContain("Degraded");
  });

  test("believes nothing that was said of an earlier generation", () => {
    const object = workload({ replicas: 2 }, { ...whole, ...timedOut, ...invalid, observedGeneration: "1" });
    expect(rolloutStatus(object, NOW)).toMatchObject({ state: PENDING, detail: "" });
  });
});

describe("what kubectl's rule does not see", () => {
  test.each<readonly [string, Spec, Status, string]>([
    ["nothing", {}, {}, ""],
    [
      "pods that are not available yet",
      { minReadySeconds: 10 },
      { availableReplicas: 1 },
      "1 of 2 pods is available: a pod is once it has been ready for 10 s (minReadySeconds)",
    ],
    ["the same without the field", {}, { availableReplicas: 1 }, "1 of 2 pods is available"],
    [
      "a partition",
      { updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 5 } } },
      {},
      "the partition keeps 2 of 2 pods as they are",
    ],
  ])("of a StatefulSet: %s", (_what, spec, status, detail) => {
    const updateStrategy = { type: "RollingUpdate" };
    const object = workload({ replicas: 2, updateStrategy, ...spec }, { ...whole, ...status });
    expect(statefulSetStatus(object)).toMatchObject({ state: COMPLETE, detail });
  });

  test("of a Deployment: old pods that have not ended, and pods that cannot be made", () => {
    const done = workload({ replicas: 2 }, { ...whole, terminatingReplicas: 2 });
    expect(deploymentStatus(done)).toMatchObject({ state: COMPLETE, detail: "2 old pods are still terminating" });
    const message = 'pods "web-1" is forbidden: exceeded quota: none, requested: pods=1';
    const conditions = [{ type: "ReplicaFailure", status: "True", reason: "FailedCreate", message }];
    const held = workload({ replicas: 2 }, { ...whole, updatedReplicas: 0, conditions });
    expect(deploymentStatus(held)).toMatchObject({
      state: PROGRESSING,
      message: 'Waiting for deployment "web" rollout to finish: 0 out of 2 new replicas have been updated...',
      detail: `ReplicaFailure: FailedCreate: ${message}`,
    });
    const late = { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" };
    const stuck = workload({ replicas: 2 }, { ...whole, conditions: [...conditions, late] });
    expect(deploymentStatus(stuck)).toMatchObject({
      state: STALLED,
      message: 'deployment "web" exceeded its progress deadline',
      detail: `ReplicaFailure: FailedCreate: ${message}`,
    });
  });
});
