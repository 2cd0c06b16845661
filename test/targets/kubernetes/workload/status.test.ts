import { describe, expect, test } from "vitest";
import { Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type { WorkloadObject } from "../../../../src/targets/kubernetes/workload/object.ts";
import {
  daemonSetStatus,
  deploymentStatus,
  type KindStatus,
  NoRolloutError,
  observedGeneration,
  rolloutStatus,
  statefulSetStatus,
} from "../../../../src/targets/kubernetes/workload/status.ts";

const { PENDING, PROGRESSING, COMPLETE, STALLED, PAUSED } = Rollout_State;

type Spec = NonNullable<WorkloadObject["spec"]>;
type Status = NonNullable<WorkloadObject["status"]>;

/** What an API server sends: numbers that are zero are not there. */
function workload(spec: Spec, status: Status | undefined, generation = 2): WorkloadObject {
  const metadata = { name: "web", namespace: "shop", uid: "u", resourceVersion: "7", generation };
  return status === undefined ? { metadata, spec } : { metadata, spec, status };
}

/** A row: what it is about, spec, status, and what comes out. */
type Row = readonly [string, Spec, Status | undefined, Rollout_State, string];

function check(judge: (object: WorkloadObject) => KindStatus, rows: readonly Row[]) {
  test.each(rows)("%s", (_about, spec, status, state, message) => {
    expect(judge(workload(spec, status))).toMatchObject({ state, message });
  });
}

const wait = (text: string) => `Waiting for deployment "web" rollout to finish: ${text}...`;
const late = { type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" };
const quota = { type: "ReplicaFailure", status: "True", reason: "FailedCreate" };
const all3 = { replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 3 };

describe("deploymentStatus()", () => {
  check(deploymentStatus, [
    ["no status at all", { replicas: 3 }, undefined, PENDING, "Waiting for deployment spec update to be observed..."],
    [
      "everything ready, of the generation before",
      { replicas: 3 },
      { ...all3, observedGeneration: 1 },
      PENDING,
      "Waiting for deployment spec update to be observed...",
    ],
    [
      "the deadline of the generation before does not count (§6.3 row 30)",
      { replicas: 3 },
      { ...all3, observedGeneration: 1, conditions: [late] },
      PENDING,
      "Waiting for deployment spec update to be observed...",
    ],
    [
      "paused, not observed",
      { replicas: 3, paused: true },
      { ...all3, observedGeneration: 1 },
      PENDING,
      "Waiting for deployment spec update to be observed...",
    ],
    [
      "absent numbers are zero",
      { replicas: 3 },
      { observedGeneration: 2 },
      PROGRESSING,
      wait("0 out of 3 new replicas have been updated"),
    ],
    [
      "absent replicas are one",
      {},
      { observedGeneration: 2 },
      PROGRESSING,
      wait("0 out of 1 new replicas have been updated"),
    ],
    [
      "some are updated",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 4, updatedReplicas: 2, availableReplicas: 3 },
      PROGRESSING,
      wait("2 out of 3 new replicas have been updated"),
    ],
    [
      "old ones go",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 5, updatedReplicas: 3, availableReplicas: 5 },
      PROGRESSING,
      wait("2 old replicas are pending termination"),
    ],
    [
      "new ones are not available",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 3, updatedReplicas: 3, readyReplicas: 3, availableReplicas: 1 },
      PROGRESSING,
      wait("1 of 3 updated replicas are available"),
    ],
    [
      "complete",
      { replicas: 3 },
      { ...all3, observedGeneration: 2 },
      COMPLETE,
      'deployment "web" successfully rolled out',
    ],
    [
      "complete, observed later than read",
      { replicas: 3 },
      { ...all3, observedGeneration: 3 },
      COMPLETE,
      'deployment "web" successfully rolled out',
    ],
    ["no replicas", { replicas: 0 }, { observedGeneration: 2 }, COMPLETE, 'deployment "web" successfully rolled out'],
    [
      "no replicas, an old one left",
      { replicas: 0 },
      { observedGeneration: 2, replicas: 1 },
      PROGRESSING,
      wait("1 old replicas are pending termination"),
    ],
    [
      "the deadline is exceeded",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 4, updatedReplicas: 1, availableReplicas: 3, conditions: [late] },
      STALLED,
      'deployment "web" exceeded its progress deadline',
    ],
    [
      "the deadline is exceeded, though everything is there: kubectl looks at it first",
      { replicas: 3 },
      { ...all3, observedGeneration: 2, conditions: [late] },
      STALLED,
      'deployment "web" exceeded its progress deadline',
    ],
    [
      "that reason on another condition is nothing",
      { replicas: 3 },
      { ...all3, observedGeneration: 2, conditions: [{ ...late, type: "Available" }] },
      COMPLETE,
      'deployment "web" successfully rolled out',
    ],
    [
      "paused in between",
      { replicas: 3, paused: true },
      { observedGeneration: 2, replicas: 3, updatedReplicas: 1, availableReplicas: 3 },
      PAUSED,
      wait("1 out of 3 new replicas have been updated"),
    ],
    [
      "paused, old ones are left",
      { replicas: 3, paused: true },
      { observedGeneration: 2, replicas: 4, updatedReplicas: 3, availableReplicas: 4 },
      PAUSED,
      wait("1 old replicas are pending termination"),
    ],
    [
      "paused and complete",
      { replicas: 3, paused: true },
      { ...all3, observedGeneration: 2 },
      COMPLETE,
      'deployment "web" successfully rolled out',
    ],
    [
      "pods cannot be created",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 3, availableReplicas: 3, conditions: [quota] },
      PROGRESSING,
      `${wait("0 out of 3 new replicas have been updated")}`,
    ],
    [
      "pods cannot be created, for too long",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 3, availableReplicas: 3, conditions: [late, quota] },
      STALLED,
      'deployment "web" exceeded its progress deadline',
    ],
    [
      "pods could not be created once",
      { replicas: 3 },
      { observedGeneration: 2, replicas: 3, availableReplicas: 3, conditions: [{ ...quota, status: "False" }] },
      PROGRESSING,
      wait("0 out of 3 new replicas have been updated"),
    ],
    [
      "pods could not be created, and are there now",
      { replicas: 3 },
      { ...all3, observedGeneration: 2, conditions: [quota] },
      COMPLETE,
      'deployment "web" successfully rolled out',
    ],
  ]);

  test("counts replicas", () => {
    const status = { observedGeneration: 1, replicas: 9, updatedReplicas: 4, readyReplicas: 3, availableReplicas: 2 };
    expect(deploymentStatus(workload({ replicas: 5 }, status))).toMatchObject({
      desired: 5,
      updated: 4,
      ready: 3,
      available: 2,
    });
  });
});

describe("daemonSetStatus()", () => {
  const spec = { updateStrategy: { type: "RollingUpdate" } };
  const unseen = "Waiting for daemon set spec update to be observed...";
  const waiting = (text: string) => `Waiting for daemon set "web" rollout to finish: ${text}...`;
  const both = { desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2, numberAvailable: 2 };
  check(daemonSetStatus, [
    ["no status at all", spec, undefined, PENDING, unseen],
    ["of the generation before", spec, { ...both, observedGeneration: 1 }, PENDING, unseen],
    [
      "none is updated",
      spec,
      { observedGeneration: 2, desiredNumberScheduled: 2, numberAvailable: 2 },
      PROGRESSING,
      waiting("0 out of 2 new pods have been updated"),
    ],
    [
      "one is not available",
      spec,
      { ...both, observedGeneration: 2, numberAvailable: 1 },
      PROGRESSING,
      waiting("1 of 2 updated pods are available"),
    ],
    ["complete", spec, { ...both, observedGeneration: 2 }, COMPLETE, 'daemon set "web" successfully rolled out'],
    ["no node", spec, { observedGeneration: 2 }, COMPLETE, 'daemon set "web" successfully rolled out'],
  ]);

  test("counts nodes", () => {
    const status = {
      observedGeneration: 2,
      desiredNumberScheduled: 5,
      updatedNumberScheduled: 4,
      numberReady: 3,
      numberAvailable: 2,
    };
    expect(daemonSetStatus(workload(spec, status))).toMatchObject({ desired: 5, updated: 4, ready: 3, available: 2 });
  });

  test.each(["OnDelete", undefined])("does not judge update strategy %s", (type) => {
    const object = workload({ updateStrategy: type === undefined ? {} : { type } }, { ...both, observedGeneration: 2 });
    expect(() => daemonSetStatus(object)).toThrow(
      new NoRolloutError("rollout status is only available for RollingUpdate strategy type"),
    );
  });
});

describe("statefulSetStatus()", () => {
  const unseen = "Waiting for statefulset spec update to be observed...";
  const plain = (replicas: number) => ({ replicas, updateStrategy: { type: "RollingUpdate" } });
  const split = (replicas: number, partition: number) => ({
    replicas,
    updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition } },
  });
  const seen = { observedGeneration: 2, replicas: 3, readyReplicas: 3 };
  check(statefulSetStatus, [
    ["no status at all", split(3, 0), undefined, PENDING, unseen],
    ["never observed", split(0, 0), { observedGeneration: 0 }, PENDING, unseen],
    ["of the generation before", split(3, 0), { ...seen, observedGeneration: 1, updatedReplicas: 3 }, PENDING, unseen],
    ["none is ready", split(3, 0), { observedGeneration: 2 }, PROGRESSING, "Waiting for 3 pods to be ready..."],
    [
      "absent replicas are one",
      { updateStrategy: { type: "RollingUpdate" } },
      { observedGeneration: 2 },
      PROGRESSING,
      "Waiting for 1 pods to be ready...",
    ],
    [
      "one is not ready, before revisions are looked at",
      plain(3),
      { ...seen, readyReplicas: 2, updateRevision: "b", currentRevision: "a" },
      PROGRESSING,
      "Waiting for 1 pods to be ready...",
    ],
    [
      "none is updated",
      split(3, 0),
      seen,
      PROGRESSING,
      "Waiting for partitioned roll out to finish: 0 out of 3 new pods have been updated...",
    ],
    [
      "partition 1, one is updated",
      split(3, 1),
      { ...seen, updatedReplicas: 1 },
      PROGRESSING,
      "Waiting for partitioned roll out to finish: 1 out of 2 new pods have been updated...",
    ],
    [
      "partition 1, two are",
      split(3, 1),
      { ...seen, updatedReplicas: 2, updateRevision: "b", currentRevision: "a" },
      COMPLETE,
      "partitioned roll out complete: 2 new pods have been updated...",
    ],
    [
      "complete",
      split(3, 0),
      { ...seen, updatedReplicas: 3 },
      COMPLETE,
      "partitioned roll out complete: 3 new pods have been updated...",
    ],
    [
      "a partition of all",
      split(3, 3),
      seen,
      COMPLETE,
      "partitioned roll out complete: 0 new pods have been updated...",
    ],
    [
      "a partition of more",
      split(3, 5),
      seen,
      COMPLETE,
      "partitioned roll out complete: 0 new pods have been updated...",
    ],
    [
      "a block without a partition: nothing is asked for",
      { replicas: 3, updateStrategy: { type: "RollingUpdate", rollingUpdate: {} } },
      { ...seen, updatedReplicas: 1 },
      COMPLETE,
      "partitioned roll out complete: 1 new pods have been updated...",
    ],
    [
      "no block, two revisions",
      plain(3),
      { ...seen, updatedReplicas: 2, updateRevision: "web-b", currentRevision: "web-a" },
      PROGRESSING,
      "waiting for statefulset rolling update to complete 2 pods at revision web-b...",
    ],
    [
      "no block, one revision",
      plain(3),
      { ...seen, currentReplicas: 3, updateRevision: "web-b", currentRevision: "web-b" },
      COMPLETE,
      "statefulset rolling update complete 3 pods at revision web-b...",
    ],
    [
      "no block, no replicas",
      plain(0),
      { observedGeneration: 2 },
      COMPLETE,
      "statefulset rolling update complete 0 pods at revision ...",
    ],
  ]);

  test.each(["OnDelete", "Recreate"])("does not judge update strategy %s", (type) => {
    expect(() => statefulSetStatus(workload({ replicas: 1, updateStrategy: { type } }, undefined))).toThrow(
      new NoRolloutError("rollout status is only available for RollingUpdate strategy type"),
    );
  });
});

describe("rolloutStatus()", () => {
  const at = "2026-11-21T10:00:00Z";
  const spec = { replicas: 3, restartAt: at };
  const unseen = "Waiting for rollout spec update to be observed...";
  const now = Date.parse(at) - 5_000;
  check(
    (object) => rolloutStatus(object, now),
    [
      [
        "an appointment",
        { ...spec, restartAt: "2026-11-21T10:00:01+00:00" },
        { ...all3, observedGeneration: "2" },
        PROGRESSING,
        'Waiting for rollout "web" to restart its pods, which is scheduled for 2026-11-21T10:00:01.000Z...',
      ],
      ["no status at all", spec, undefined, PENDING, unseen],
      ["of the generation before", spec, { ...all3, observedGeneration: "1" }, PENDING, unseen],
      [
        "of the generation before, never restarted",
        { replicas: 3 },
        { ...all3, observedGeneration: "1" },
        PENDING,
        unseen,
      ],
      [
        "pods are not restarted",
        spec,
        { ...all3, observedGeneration: "2" },
        PROGRESSING,
        'Waiting for rollout "web" to restart its pods...',
      ],
      [
        "an earlier restart is done",
        spec,
        { ...all3, observedGeneration: "2", restartedAt: "2026-11-21T09:00:00Z" },
        PROGRESSING,
        'Waiting for rollout "web" to restart its pods...',
      ],
      [
        "the last one is not available",
        spec,
        { ...all3, observedGeneration: "2", restartedAt: at, availableReplicas: 2 },
        PROGRESSING,
        'Waiting for rollout "web" to finish: 2 of 3 replicas are available...',
      ],
      [
        "complete",
        spec,
        { ...all3, observedGeneration: "2", restartedAt: at },
        COMPLETE,
        'rollout "web" successfully restarted',
      ],
      [
        "complete, the same instant written otherwise",
        spec,
        { ...all3, observedGeneration: "2", restartedAt: "2026-11-21T11:00:00+01:00" },
        COMPLETE,
        'rollout "web" successfully restarted',
      ],
      [
        "never restarted",
        { replicas: 3, restartAt: null },
        { ...all3, observedGeneration: "2" },
        COMPLETE,
        'rollout "web" is available',
      ],
      [
        "never restarted, absent replicas are one",
        {},
        { observedGeneration: "2" },
        PROGRESSING,
        'Waiting for rollout "web" to finish: 0 of 1 replicas are available...',
      ],
    ],
  );
});

describe("observedGeneration()", () => {
  test.each([
    [undefined, 0],
    [3, 3],
    ["3", 3],
    ["6d5f9c8b7", 0],
  ])("reads %s as %s", (value, expected) => {
    expect(observedGeneration(workload({}, value === undefined ? {} : { observedGeneration: value }))).toBe(expected);
  });
});
