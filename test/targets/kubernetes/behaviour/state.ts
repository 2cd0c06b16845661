import { describe, expect, test } from "vitest";
import { isRead, isWrite } from "../../../support/wiretap.ts";
import {
  eventually,
  freeName,
  type Made,
  type MakeOptions,
  make,
  must,
  observed,
  preconditionFailed,
  restart,
  subjectOf,
  type TheWorld,
  targetOf,
} from "./world.ts";

const PAUSED = "can't restart paused deployment (run rollout resume first)";
const onDelete = ({ ref }: Made) =>
  `${subjectOf(ref)} has the update strategy OnDelete: its pods change only when somebody deletes them`;
const deleting = ({ ref }: Made) => `${subjectOf(ref)} is being deleted`;

/** Every state that forbids a restart: how to make it, and the sentence. */
const forbidden: readonly {
  readonly row: number;
  readonly what: string;
  readonly resource: "deployments" | "statefulsets" | "daemonsets" | "rollouts";
  readonly reason: "PAUSED" | "UPDATE_STRATEGY_ON_DELETE" | "NOTHING_TO_RESTART" | "DELETING";
  readonly sentence: (made: Made) => string;
  readonly spec?: MakeOptions["spec"];
}[] = [
  {
    row: 22,
    what: "a paused Deployment",
    resource: "deployments",
    reason: "PAUSED",
    sentence: () => PAUSED,
    spec: { paused: true },
  },
  {
    row: 25,
    what: "an OnDelete StatefulSet",
    resource: "statefulsets",
    reason: "UPDATE_STRATEGY_ON_DELETE",
    sentence: onDelete,
    spec: { updateStrategy: { type: "OnDelete" } },
  },
  {
    row: 25,
    what: "an OnDelete DaemonSet",
    resource: "daemonsets",
    reason: "UPDATE_STRATEGY_ON_DELETE",
    sentence: onDelete,
    spec: { updateStrategy: { type: "OnDelete" } },
  },
  {
    row: 26,
    what: "a StatefulSet whose partition keeps all replicas",
    resource: "statefulsets",
    reason: "NOTHING_TO_RESTART",
    sentence: ({ ref }) =>
      `nothing of ${subjectOf(ref)} would restart: its partition 5 keeps all 2 replicas as they are`,
    spec: { replicas: 2, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 5 } } },
  },
  { row: 33, what: "a Deployment being deleted", resource: "deployments", reason: "DELETING", sentence: deleting },
  { row: 33, what: "a StatefulSet being deleted", resource: "statefulsets", reason: "DELETING", sentence: deleting },
  { row: 33, what: "a DaemonSet being deleted", resource: "daemonsets", reason: "DELETING", sentence: deleting },
  { row: 33, what: "an Argo Rollout being deleted", resource: "rollouts", reason: "DELETING", sentence: deleting },
];

/** The API server wants the defaults of the other strategy taken away by name. */
const bad = (spec: MakeOptions["spec"] = {}) => {
  const { updateStrategy } = spec as { updateStrategy?: { type: string } };
  return updateStrategy?.type === "OnDelete" ? { updateStrategy: { ...updateStrategy, rollingUpdate: null } } : spec;
};

/** Rows 22 to 36 and 66: what the object's own state says. */
export function stateRows(world: TheWorld): void {
  describe("state", () => {
    /** Keeps an object that is deleted from going before it is seen. */
    const finalizers = ["test.example.com/keep"];
    const makeForbidden = async (
      { resource, reason, spec }: (typeof forbidden)[number],
      healthy = false,
    ): Promise<Made> => {
      const metadata = reason === "DELETING" ? { finalizers } : {};
      const object = await make(world(), resource, { metadata, ...(spec && !healthy && { spec }) });
      if (reason === "DELETING" && !healthy) {
        await must(world().backend, "DELETE", `${object.path}?propagationPolicy=Foreground`);
      }
      return object;
    };
    const turnBad = async (object: Made, { reason, spec }: (typeof forbidden)[number]) =>
      reason === "DELETING" ? must(world().backend, "DELETE", object.path) : object.merge({ spec: bad(spec) });
    const release = async (object: Made) => {
      await world().backend.request("PATCH", object.path, {
        body: { metadata: { finalizers: null } },
        contentType: "application/merge-patch+json",
      });
    };

    test("row 26: a StatefulSet that was scaled down to its partition is refused, though it was restarted before", async () => {
      const spec = { replicas: 4, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 2 } } };
      const object = await make(world(), "statefulsets", { spec });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: ["PARTITIONED"] });
      await object.merge({ spec: { replicas: 2 } });
      const before = await object.generation();
      expect(await restart(world().tapped, object.ref)).toMatchObject({
        code: "FailedPrecondition",
        reason: "NOTHING_TO_RESTART",
        outcome: "not_applied",
        metadata: { partition: "2", replicas: "2" },
      });
      expect(await object.generation()).toBe(before);
    });

    test.each([
      "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
      'admission webhook "w" denied the request: no',
      "etcdserver: request is too large",
      "the server is shutting down",
    ])("what an object says of itself decides nothing: %s", async (note) => {
      const object = await make(world(), "deployments", { metadata: { annotations: { note } } });
      const before = await object.generation();
      expect(await restart(world().tapped, { ...object.ref, validateOnly: true })).toEqual({
        code: "ok",
        warnings: [],
      });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      expect(await object.generation()).toBe(before + 1);
    });

    test.each(forbidden)("row $row: $what is refused before anything is sent", async (state) => {
      const object = await makeForbidden(state);
      const before = await object.generation();
      for (const validateOnly of [false, true]) {
        expect(await restart(world().tapped, { ...object.ref, validateOnly })).toEqual({
          ...preconditionFailed(state.reason, object.ref, state.sentence(object)),
          message: state.sentence(object),
          metadata: {
            cluster: "patcher",
            ...(state.reason === "NOTHING_TO_RESTART" && { partition: "5", replicas: "2" }),
          },
          warnings: [],
        });
      }
      expect(world().tap.requests.filter(({ method }) => method === "PATCH")).toEqual([]);
      expect(await object.generation()).toBe(before);
      expect(await object.restartedAt()).toBeUndefined();
      await release(object);
    });

    test.each(forbidden)(
      "row $row: $what is refused by the write itself when it becomes so after the read (row 23)",
      async (state) => {
        const object = await makeForbidden(state, true);
        const { tap, tapped } = world();
        tap.on(isWrite, async (_request, forward) => {
          await turnBad(object, state);
          return forward();
        });
        expect(await restart(tapped, object.ref)).toMatchObject(
          preconditionFailed(state.reason, object.ref, state.sentence(object)),
        );
        expect(tap.writes.map(({ status }) => status)).toEqual([422]);
        expect(tap.requests.filter(isRead)).toHaveLength(2);
        expect(await object.restartedAt()).toBeUndefined();
        await release(object);
      },
    );

    test.each(forbidden)("row $row: $what is refused though it is remembered as good", async (state) => {
      const object = await makeForbidden(state, true);
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      const value = await object.restartedAt();
      await turnBad(object, state);
      expect(await restart(world().tapped, object.ref)).toMatchObject(
        preconditionFailed(state.reason, object.ref, state.sentence(object)),
      );
      expect(await object.restartedAt()).toBe(value);
      expect(world().tap.applicable).toHaveLength(1);
      await release(object);
    });

    test.each(forbidden)("row $row: $what is refused to who cannot read", async (state) => {
      const object = await makeForbidden(state);
      for (const validateOnly of [false, true]) {
        expect(await restart(world().tapped, { ...object.ref, cluster: "blind", validateOnly })).toMatchObject({
          reason: state.reason,
          message: state.sentence(object),
        });
      }
      expect(world().tap.applicable).toEqual([]);
      expect(await object.restartedAt()).toBeUndefined();
      await release(object);
    });

    test("row 22: a Deployment that was resumed is restarted", async () => {
      const object = await make(world(), "deployments", { spec: { paused: true } });
      expect((await restart(world().tapped, object.ref)).reason).toBe("PAUSED");
      await object.merge({ spec: { paused: false } });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
    });

    test("row 23: a Deployment that is paused and resumed while its restart is remembered", async () => {
      const object = await make(world(), "deployments");
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      await object.merge({ spec: { paused: true } });
      await object.merge({ spec: { paused: false } });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      expect(world().tap.applicable).toHaveLength(2);
    });

    test("row 26: a partition that keeps some replicas is warned of", async () => {
      const spec = { replicas: 3, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } };
      const object = await make(world(), "statefulsets", { spec });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: ["PARTITIONED"] });
      // Moved while it is remembered: the guard sees it, and nothing forbids it.
      await object.merge({ spec: { updateStrategy: { rollingUpdate: { partition: 2 } } } });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: ["PARTITIONED"] });
      expect(world().tap.writes.map(({ status }) => status)).toEqual([200, 422, 200]);
    });

    test("row 26: a strategy without a partition, read and unread", async () => {
      const updateStrategy = { type: "RollingUpdate" };
      for (const cluster of ["patcher", "blind"]) {
        const object = await make(world(), "statefulsets", { spec: { updateStrategy } });
        const told = await restart(world().tapped, { ...object.ref, cluster });
        expect(told).toEqual({ code: "ok", warnings: cluster === "blind" ? ["PREFLIGHT_SKIPPED"] : [] });
        expect(await object.generation()).toBe(2);
      }
    });

    test("row 26: who cannot read is warned of a partition too", async () => {
      const spec = { replicas: 3, updateStrategy: { type: "RollingUpdate", rollingUpdate: { partition: 1 } } };
      const object = await make(world(), "statefulsets", { spec });
      const told = await restart(world().tapped, { ...object.ref, cluster: "blind" });
      expect(told).toEqual({ code: "ok", warnings: ["PARTITIONED", "PREFLIGHT_SKIPPED"] });
      expect(world().tap.writes.map(({ status }) => status)).toEqual([422, 200]);
    });

    test.each([
      ["a Deployment", "deployments", { replicas: 0 }],
      ["a StatefulSet", "statefulsets", { replicas: 0 }],
      ["an Argo Rollout", "rollouts", { replicas: 0 }],
      ["a DaemonSet on no node", "daemonsets", {}],
    ] as const)("row 27: %s without pods is restarted, with a warning", async (_what, resource, spec) => {
      const object = await observed(await make(world(), resource, { spec }));
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: ["NO_REPLICAS"] });
      expect(await object.restartedAt()).toBeDefined();
    });

    test("row 28: Recreate is warned of", async () => {
      const object = await make(world(), "deployments", { spec: { strategy: { type: "Recreate" } } });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: ["RECREATE_DOWNTIME"] });
      expect(await restart(world().tapped, { ...object.ref, validateOnly: true })).toEqual({
        code: "ok",
        warnings: ["RECREATE_DOWNTIME"],
      });
    });

    test("row 29: a restart does not wait for a controller, and its status is not believed before", async () => {
      const object = await make(world(), "deployments");
      const { backend, tapped } = world();
      await eventually(async () => (await object.read()).status?.observedGeneration === 1);
      await backend.controllers.pause();
      try {
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        const rollout = await tapped.client.getRollout({ cluster: "patcher", ...object.ref });
        expect(rollout).toMatchObject({ state: 1, generation: 2n, observedGeneration: 1n });
        expect(rollout.restartedAt).toBe(await object.restartedAt());
      } finally {
        await backend.controllers.resume();
      }
      await eventually(async () => (await object.read()).status?.observedGeneration === 2);
    });

    test("rows 30 and 31: a rollout that is in progress, or has failed, can be restarted again", async () => {
      const { backend, tapped } = world();
      const object = await make(world(), "deployments", { spec: { progressDeadlineSeconds: 1 } });
      await backend.pods.pause();
      try {
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        const stalled = await eventually(async () => {
          const rollout = await tapped.client.getRollout({ cluster: "patcher", ...object.ref });
          return rollout.state === 4 && rollout;
        });
        expect(stalled.message).toBe(`deployment "${object.ref.name}" exceeded its progress deadline`);
        const before = await object.generation();
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        expect(await object.generation()).toBe(before + 1);
      } finally {
        await backend.pods.resume();
      }
    });

    test("row 34: in a namespace that is being deleted the API server takes a restart", async () => {
      const { backend, tapped } = world();
      const namespace = freeName();
      await must(backend, "POST", "/api/v1/namespaces", {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: namespace },
      });
      const object = await make(world(), "deployments", { namespace });
      await backend.controllers.pause();
      try {
        await must(backend, "DELETE", `/api/v1/namespaces/${namespace}`);
        const { status, metadata } = await must(backend, "GET", `/api/v1/namespaces/${namespace}`);
        expect([status.phase, typeof metadata.deletionTimestamp]).toEqual(["Terminating", "string"]);
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      } finally {
        await backend.controllers.resume();
      }
    });

    const recreate = async (object: Made, options: MakeOptions = {}) => {
      const { uid } = (await object.read()).metadata;
      await must(world().backend, "DELETE", `${object.path}?propagationPolicy=Background`);
      await eventually(async () => (await world().backend.request("GET", object.path)).status === 404);
      const anew = await make(world(), object.ref.resource as "deployments", { ...options, name: object.ref.name });
      return { uid, anew: (await anew.read()).metadata.uid as string };
    };

    test.each(["deployments", "statefulsets", "daemonsets", "rollouts"] as const)(
      "row 35: %s that are made anew between the read and the write are not restarted",
      async (resource) => {
        const object = await make(world(), resource);
        const { tap, tapped } = world();
        let uid = "";
        tap.on(isWrite, async (_request, forward) => {
          uid = (await recreate(object)).anew;
          return forward();
        });
        expect(await restart(tapped, object.ref)).toEqual({
          code: "Aborted",
          reason: "OBJECT_REPLACED",
          outcome: "not_applied",
          message: `${subjectOf(object.ref)} was deleted and made anew in between; the restart was not applied`,
          metadata: { cluster: "patcher", old_uid: expect.any(String), new_uid: uid },
          details: { ResourceInfo: { resourceType: "kubernetes.workload", resourceName: targetOf(object.ref) } },
          warnings: [],
        });
        expect(tap.writes.map(({ status }) => status)).toEqual([422]);
        expect(await object.restartedAt()).toBeUndefined();
      },
    );

    test("row 35: an object that was made anew since the last call is restarted as it is now", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      await recreate(object, { spec: { replicas: 0 } });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: ["NO_REPLICAS"] });
      expect(await object.restartedAt()).toBeDefined();
    });

    test("row 66: an object that something else owns or applies is warned of, and the sentence says who", async () => {
      const restartd = world().another();
      const { backend, namespace } = world();
      const owner = await make(world(), "deployments", { spec: { replicas: 0 } });
      const { uid } = (await owner.read()).metadata;
      const ownerReferences = [
        { apiVersion: "apps/v1", kind: "Deployment", name: owner.ref.name, uid, controller: false },
      ];
      const owned = await make(world(), "statefulsets", { metadata: { ownerReferences } });
      const labels = { "kustomize.toolkit.fluxcd.io/name": "apps" };
      const labelled = await make(world(), "deployments", { metadata: { labels } });
      for (const [{ ref }, who] of [
        [owned, `Deployment ${owner.ref.name}`],
        [labelled, "Flux (Kustomization) apps"],
      ] as const) {
        expect(await restart(restartd, ref)).toEqual({ code: "ok", warnings: ["MANAGED_BY_CONTROLLER"] });
        const store = await restartd.store;
        const where = [{ field: "target", operator: "=", value: targetOf(ref) }] as const;
        const [operation] = await store.list({ where, limit: 1 });
        expect(operation?.warnings).toEqual([
          `MANAGED_BY_CONTROLLER: ${who} manages the object and may take the restart back.`,
        ]);
      }
      // The same manager as helm --server-side, and the one as Flux.
      for (const [manager, warnings] of [
        ["helm", []],
        ["kustomize-controller", ["MANAGED_BY_CONTROLLER"]],
      ] as const) {
        const applied = await make(world(), "deployments");
        const object = {
          apiVersion: "apps/v1",
          kind: "Deployment",
          metadata: { name: applied.ref.name, namespace },
          spec: { revisionHistoryLimit: 3 },
        };
        const path = `${applied.path}?fieldManager=${manager}&force=true`;
        await must(backend, "PATCH", path, object, "application/apply-patch+yaml");
        expect(await restart(restartd, applied.ref)).toEqual({ code: "ok", warnings });
      }
    });

    const takeTemplate = async (deployment: Made): Promise<Made> => {
      const workloadRef = { apiVersion: "apps/v1", kind: "Deployment", name: deployment.ref.name };
      return make(world(), "rollouts", { spec: { workloadRef, template: undefined, selector: undefined } });
    };

    test.each([0, 2])(
      "a Deployment of %i replicas whose template a Rollout takes is refused, and the Rollout is named",
      async (replicas) => {
        const object = await make(world(), "deployments", { spec: { replicas } });
        const other = await make(world(), "deployments", { spec: { replicas } });
        const rollout = await takeTemplate(object);
        const restartd = world().another();
        const before = await object.generation();
        const sentence = `${subjectOf(object.ref)} gives its pod template to the Argo Rollout ${rollout.ref.name} (spec.workloadRef), where a restart of it would begin an update; restart ${subjectOf(rollout.ref)} instead`;
        for (const validateOnly of [true, false]) {
          expect(await restart(restartd, { ...object.ref, validateOnly })).toMatchObject({
            ...preconditionFailed("TARGET_STATE_FORBIDS", object.ref, sentence),
            message: sentence,
            metadata: { cluster: "patcher", rollout: rollout.ref.name },
          });
        }
        expect(await object.restartedAt()).toBeUndefined();
        expect(await object.generation()).toBe(before);
        expect(world().tap.requests.filter(({ method }) => method === "PATCH")).toEqual([]);
        expect((await restart(restartd, other.ref)).code).toBe("ok");
        expect((await restart(restartd, { ...rollout.ref, name: rollout.ref.name })).code).toBe("ok");
      },
    );

    test("who may not list Rollouts restarts a Deployment by what is known, as without Argo", async () => {
      const object = await make(world(), "deployments");
      await takeTemplate(object);
      expect((await restart(world().another(), { ...object.ref, cluster: "blind" })).code).toBe("ok");
    });

    test("a Rollout for which Argo does nothing, because its spec is invalid, is refused with Argo's words", async () => {
      const object = await observed(await make(world(), "rollouts", { spec: { strategy: {} } }));
      const told = await restart(world().tapped, object.ref);
      expect(told).toMatchObject({
        ...preconditionFailed("TARGET_STATE_FORBIDS", object.ref, told.message),
        message: `Argo Rollouts does nothing for ${subjectOf(object.ref)} until its spec is mended (InvalidSpec: The Rollout "${object.ref.name}" is invalid: spec.strategy.strategy: Required value: Rollout has missing field '.spec.strategy.canary or .spec.strategy.blueGreen')`,
      });
      expect(world().tap.writes).toEqual([]);
      await object.merge({ spec: { strategy: { canary: {} } } });
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
    });

    test("row 66: a restart that somebody takes back at once was one all the same", async () => {
      const object = await make(world(), "deployments");
      world().tap.on(isWrite, async (_request, forward) => {
        const answer = await forward();
        await object.merge({ spec: { template: { metadata: { annotations: null } } } });
        return answer;
      });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      expect(await object.restartedAt()).toBeUndefined();
      // What is remembered is wrong now; the next restart finds its way.
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      expect(await object.restartedAt()).toBeDefined();
    });
  });
}
