import { describe, expect, test } from "vitest";
import { isDryRun, isRead } from "../../../support/wiretap.ts";
import { freeName, make, observed, restart, subjectOf, type TheWorld, targetOf } from "./world.ts";

/** Rows 32, 36 to 40 and 42: who may restart what, and what is said of objects that are not there. */
export function accessRows(world: TheWorld): void {
  describe("access", () => {
    const absent = () => ({
      group: "apps",
      version: "v1",
      resource: "deployments",
      namespace: world().namespace,
      name: freeName(),
    });

    test("row 32: an object that does not exist is not found", async () => {
      const ref = absent();
      expect(await restart(world().tapped, ref)).toEqual({
        code: "NotFound",
        message: `cluster patcher: ${subjectOf(ref)} does not exist`,
        reason: "TARGET_NOT_FOUND",
        outcome: "not_applied",
        metadata: {
          cluster: "patcher",
          vendor: "kubernetes",
          vendor_http_status: "404",
          vendor_code: "NotFound",
          vendor_request_id: expect.stringMatching(/^[-0-9a-f]{36}$/),
        },
        details: { ResourceInfo: { resourceType: "kubernetes.workload", resourceName: targetOf(ref) } },
        warnings: [],
      });
      expect(world().tap.writes).toEqual([]);
    });

    test("row 32: an object that is deleted between the read and the write is not found", async () => {
      const { ref, path } = await make(world(), "deployments");
      const { tap, backend, tapped } = world();
      tap.on(
        ({ method }) => method === "PATCH",
        async (_request, forward) => {
          await backend.request("DELETE", `${path}?propagationPolicy=Background`);
          return forward();
        },
      );
      expect(await restart(tapped, ref)).toMatchObject({
        code: "NotFound",
        reason: "TARGET_NOT_FOUND",
        outcome: "not_applied",
      });
      expect(tap.writes).toHaveLength(1);
    });

    test("row 32: an object that is remembered and gone is not found, and nothing is made", async () => {
      const { ref, path } = await make(world(), "deployments");
      const { backend, tapped } = world();
      expect((await restart(tapped, ref)).code).toBe("ok");
      await backend.request("DELETE", `${path}?propagationPolicy=Background`);
      const { tap } = world();
      for (const asked of ["PATCH", "GET"]) {
        tap.reset();
        expect(await restart(tapped, ref)).toMatchObject({ code: "NotFound", reason: "TARGET_NOT_FOUND" });
        expect(tap.requests.map(({ method }) => method)).toEqual([asked]); // the refusal made it forget
      }
      expect((await backend.request("GET", path)).status).toBe(404);
    });

    test("row 36: in a namespace that does not exist nothing is found", async () => {
      const ref = { ...absent(), namespace: freeName() };
      expect(await restart(world().tapped, ref)).toMatchObject({
        code: "NotFound",
        reason: "TARGET_NOT_FOUND",
        details: { ResourceInfo: { resourceName: targetOf(ref) } },
      });
    });

    const denied = (ref: ReturnType<typeof absent>, cluster: string, verb: string) => ({
      code: "PermissionDenied",
      message: `cluster ${cluster}: restartd's account may not ${verb} ${subjectOf(ref)}; RBAC has to grant it that`,
      reason: "RBAC_DENIED",
      outcome: "not_applied",
      details: { ResourceInfo: { resourceType: "kubernetes.workload", resourceName: targetOf(ref, cluster) } },
    });

    test.each([
      ["a restart", false],
      ["validate_only", true],
    ])("row 37: who may not patch is refused: %s", async (_what, validateOnly) => {
      const object = await make(world(), "deployments");
      const before = await object.generation();
      const told = await restart(world().tapped, { ...object.ref, cluster: "reader", validateOnly });
      expect(told).toMatchObject(denied(object.ref, "reader", "patch"));
      expect(world().tap.requests.filter(({ method }) => method === "PATCH")).toHaveLength(1);
      expect(await object.generation()).toBe(before);
    });

    test("row 38: who may patch and not read restarts all the same, with a warning", async () => {
      for (const annotations of [undefined, { a: "1" }]) {
        const object = await make(world(), "deployments", { ...(annotations && { annotations }) });
        const before = await object.generation();
        const told = await restart(world().tapped, { ...object.ref, cluster: "blind" });
        expect(told).toEqual({ code: "ok", warnings: ["PREFLIGHT_SKIPPED"] });
        expect(await object.generation()).toBe(before + 1);
        expect((await object.read()).spec.template.metadata.annotations).toMatchObject(annotations ?? {});
      }
    });

    test.each(["statefulsets", "daemonsets", "rollouts"] as const)("row 38: the same for %s", async (resource) => {
      const object = await observed(await make(world(), resource));
      const told = await restart(world().tapped, { ...object.ref, cluster: "blind" });
      const empty = resource === "daemonsets" ? ["NO_REPLICAS"] : [];
      expect(told).toEqual({ code: "ok", warnings: [...empty, "PREFLIGHT_SKIPPED"] });
      expect(await object.restartedAt()).toBeDefined();
      expect(world().tap.applicable).toHaveLength(1);
    });

    test("row 38: the guards hold for who cannot read too, and the reason is precise", async () => {
      const object = await make(world(), "deployments", { spec: { paused: true } });
      const before = await object.generation();
      const told = await restart(world().tapped, { ...object.ref, cluster: "blind" });
      expect(told).toMatchObject({
        code: "FailedPrecondition",
        reason: "PAUSED",
        message: "can't restart paused deployment (run rollout resume first)",
      });
      expect(await object.generation()).toBe(before);
      expect(world().tap.applicable).toEqual([]);
      expect(world().tap.requests.filter(isDryRun)).toHaveLength(1);
    });

    test("row 39: without rights, an object that is there and one that is not look the same", async () => {
      const { ref } = await make(world(), "deployments");
      for (const one of [ref, { ...absent(), name: freeName() }]) {
        const told = await restart(world().tapped, { ...one, cluster: "nobody" });
        expect(told).toMatchObject(denied(one, "nobody", "patch"));
        expect(world().tap.applicable).toEqual([]);
      }
    });

    test("row 40: an account that may not impersonate is ours to fix, not the caller's", async () => {
      const { ref } = await make(world(), "deployments");
      const told = await restart(world().tapped, { ...ref, cluster: "impersonator" });
      expect(told).toMatchObject({
        code: "Internal",
        reason: "IMPERSONATION_DENIED",
        outcome: "not_applied",
        message: "cluster impersonator: restartd's own account may not impersonate; its operator has to grant it that",
      });
      expect(world().tap.requests.every(({ headers }) => headers["impersonate-user"] === "somebody")).toBe(true);
      expect(world().tap.writes).toEqual([]);
    });

    test("row 42: credentials that the cluster rejects are not the caller's", async () => {
      const { ref } = await make(world(), "deployments");
      const told = await restart(world().tapped, { ...ref, cluster: "intruder" });
      expect(told).toMatchObject({
        code: "Internal",
        reason: "CLUSTER_CREDENTIALS_REJECTED",
        outcome: "not_applied",
        metadata: { cluster: "intruder", vendor_http_status: "401" },
        message:
          "cluster intruder: the API server did not accept restartd's own credentials; its operator has to renew them",
      });
      expect(world().tap.writes).toEqual([]);
    });

    test("row 42: credentials that expire between the read and the write", async () => {
      const { ref } = await make(world(), "deployments");
      const body = { kind: "Status", status: "Failure", message: "Unauthorized", reason: "Unauthorized", code: 401 };
      world().tap.on(
        ({ method }) => method === "PATCH",
        () => ({ status: 401, body: JSON.stringify(body) }),
      );
      const told = await restart(world().tapped, ref);
      expect(told).toMatchObject({ code: "Internal", reason: "CLUSTER_CREDENTIALS_REJECTED", outcome: "not_applied" });
      expect(world().tap.requests.filter(isRead)).toHaveLength(1);
      expect(world().tap.writes).toHaveLength(1);
    });

    test("rows 37 to 42 without a tap between", async () => {
      const { ref } = await make(world(), "deployments");
      const reasons: (string | undefined)[] = [];
      for (const cluster of ["patcher", "blind", "reader", "nobody", "intruder"]) {
        const told = await restart(world().direct, { ...ref, cluster });
        reasons.push(told.reason ?? told.code);
      }
      expect(reasons).toEqual(["ok", "ok", "RBAC_DENIED", "RBAC_DENIED", "CLUSTER_CREDENTIALS_REJECTED"]);
    });
  });
}
