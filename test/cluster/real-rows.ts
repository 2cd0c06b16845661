import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isWrite } from "../support/wiretap.ts";
import {
  eventually,
  freeName,
  type Made,
  make,
  must,
  preconditionFailed,
  restart,
  SECRET,
  subjectOf,
  type TheWorld,
} from "../targets/kubernetes/behaviour/world.ts";
import { dryRun } from "./webhook-rows.ts";

/** What only a real API server produces: its policies, validation, limits, Jobs, custom resources. */
export function realRows(world: TheWorld): void {
  policyRows(world);
  describe("the API server's own limits", () => {
    test("row 49: a pod template that the restart's annotation makes too long", async () => {
      const annotations = { long: "x".repeat(262_144 - 60) };
      const { ref } = await make(world(), "deployments", { annotations });
      const told = await restart(world().tapped, ref);
      expect(told).toMatchObject({
        code: "FailedPrecondition",
        reason: "OBJECT_INVALID",
        outcome: "not_applied",
        metadata: { vendor_http_status: "422", vendor_code: "Invalid" },
        details: {
          PreconditionFailure: {
            violations: expect.arrayContaining([
              {
                type: "OBJECT_INVALID",
                subject: subjectOf(ref),
                description: expect.stringMatching(/^spec\.template.*annotations: FieldValueTooLong$/),
              },
            ]),
          },
        },
      });
      expect(world().tap.writes).toHaveLength(1);
    });

    test("row 67: an object that etcd takes, but not with one more annotation", async () => {
      const object = await largest(world);
      const told = await restart(world().tapped, object.ref);
      expect(told).toMatchObject({ code: "ResourceExhausted", reason: "OBJECT_TOO_LARGE", outcome: "not_applied" });
      expect(world().tap.writes).toHaveLength(1);
      expect(await object.restartedAt()).toBeUndefined();
    });
  });

  describe("the API server's own answers", () => {
    test("every write is told apart by its Audit-ID, and the object's history names restartd", async () => {
      const object = await make(world(), "deployments");
      expect((await restart(world().direct, object.ref)).code).toBe("ok");
      const { managedFields } = (await object.read()).metadata;
      const ours = managedFields.filter(({ manager }: { manager: string }) => manager === "restartd");
      expect(ours).toHaveLength(1);
      expect(ours[0]).toMatchObject({ operation: "Update", apiVersion: "apps/v1" });
      expect(Object.keys(ours[0].fieldsV1)).toEqual(["f:spec"]);
    });
  });

  test.each([
    [19, "running", false],
    [20, "suspended", true],
  ])("row %i: a %s Job", async (_row, _what, suspend) => {
    const { backend, namespace, tap, tapped } = world();
    const ref = { group: "batch", version: "v1", resource: "jobs", namespace, name: freeName() };
    const jobs = `/apis/batch/v1/namespaces/${namespace}/jobs`;
    const spec = { restartPolicy: "Never", containers: [{ name: "c", image: "registry.invalid/c:1" }] };
    await must(backend, "POST", jobs, {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: { name: ref.name },
      spec: { suspend, template: { spec } },
    });
    const way = "delete the Job and create it again: its template cannot change";
    const sentence = `jobs.batch "${ref.name}" restarting is not supported; ${way}`;
    expect(await restart(tapped, { ...ref, cluster: "admin" })).toMatchObject(
      preconditionFailed("RESTART_NOT_SUPPORTED", ref, sentence),
    );
    expect(tap.writes).toEqual([]);
    // What the table keeps callers from: without it the API server would take this for a suspended Job, and nothing would restart.
    const body = { spec: { template: { metadata: { annotations: { "kubectl.kubernetes.io/restartedAt": "now" } } } } };
    const answer = await backend.request("PATCH", `${jobs}/${ref.name}?dryRun=All`, {
      body,
      contentType: "application/merge-patch+json",
    });
    expect(answer.status).toBe(suspend ? 200 : 422);
  });

  describe("custom resources", () => {
    const group = `${freeName()}.example.com`;
    const kinds = [
      { plural: "widgets", scope: "Namespaced", schema: { type: "object", properties: { spec: { type: "object" } } } },
      {
        plural: "blobs",
        scope: "Namespaced",
        schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
      },
      { plural: "planets", scope: "Cluster", schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
    ];
    beforeAll(async () => {
      for (const { plural, scope, schema } of kinds) {
        const kind = plural.slice(0, -1);
        await must(world().backend, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
          apiVersion: "apiextensions.k8s.io/v1",
          kind: "CustomResourceDefinition",
          metadata: { name: `${plural}.${group}` },
          spec: {
            group,
            scope,
            names: {
              plural,
              singular: kind,
              kind: `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`,
              shortNames: [plural.slice(0, 2)],
            },
            versions: [{ name: "v1", served: true, storage: true, schema: { openAPIV3Schema: schema } }],
          },
        });
      }
      await eventually(async () => {
        const answer = await world().backend.request("GET", `/apis/${group}/v1`);
        return answer.status === 200 && answer.json().resources.length === kinds.length;
      });
    });
    afterAll(async () => {
      for (const { plural } of kinds) {
        await world().backend.request(
          "DELETE",
          `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`,
        );
      }
    });
    const ref = (resource: string) => ({ group, version: "v1", resource, namespace: world().namespace, name: "one" });

    test.each([
      [16, "widgets"],
      [17, "blobs"],
    ])("row %i: %s are refused before anything is sent", async (_row, resource) => {
      const [{ kind }] = (await must(world().backend, "GET", `/apis/${group}/v1`)).resources.filter(
        ({ name }: { name: string }) => name === resource,
      );
      await must(world().backend, "POST", `/apis/${group}/v1/namespaces/${world().namespace}/${resource}`, {
        apiVersion: `${group}/v1`,
        kind,
        metadata: { name: "one" },
        spec: {},
      });
      const told = await restart(world().tapped, { ...ref(resource), cluster: "admin" });
      const sentence = `${resource}.${group} "one" restarting is not supported; what can be restarted: deployments.apps, statefulsets.apps, daemonsets.apps, rollouts.argoproj.io`;
      expect(told).toMatchObject(preconditionFailed("RESTART_NOT_SUPPORTED", ref(resource), sentence));
      expect(world().tap.requests.filter(({ method }) => method === "PATCH")).toEqual([]);
    });

    test("row 11: a custom resource's short name is answered with its plural", async () => {
      expect(await restart(world().tapped, ref("wi"))).toMatchObject({
        reason: "RESOURCE_NOT_RECOGNIZED",
        metadata: { near: "widgets" },
      });
    });

    test("row 12: a custom resource that is cluster-scoped", async () => {
      expect(await restart(world().tapped, ref("planets"))).toMatchObject({
        code: "InvalidArgument",
        reason: "SCOPE_MISMATCH",
      });
    });

    test("row 16: what the API server says of a pruned field is recognised, should a kind's table be wrong", async () => {
      // The write of a Deployment's restart, sent to the custom resource instead.
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const { tap, tapped, namespace } = world();
      const widget = `/apis/${group}/v1/namespaces/${namespace}/widgets/one`;
      await must(world().backend, "PATCH", widget, { spec: {} }, "application/merge-patch+json");
      tap.on(isWrite, async (request) => {
        const patch = { spec: { template: { metadata: { annotations: { a: SECRET } } } } };
        return world().backend.request("PATCH", `${widget}?${request.query}`, {
          body: patch,
          contentType: "application/merge-patch+json",
        });
      });
      expect(await restart(tapped, object.ref)).toMatchObject({
        code: "FailedPrecondition",
        reason: "RESTART_NOT_SUPPORTED",
        outcome: "not_applied",
        metadata: { vendor_http_status: "422" },
        message: `cluster patcher: ${subjectOf(object.ref)} has no field for a restart`,
      });
    });
  });
}

function policyRows(world: TheWorld): void {
  describe("policies", () => {
    const base = "/apis/admissionregistration.k8s.io/v1";
    const names = ["Invalid", "Forbidden"].map((reason) => ({
      reason,
      name: `${reason.toLowerCase()}-${randomBytes(4).toString("hex")}`,
    }));
    beforeAll(async () => {
      const { backend, namespace } = world();
      for (const { reason, name } of names) {
        await must(backend, "POST", `${base}/validatingadmissionpolicies`, {
          apiVersion: "admissionregistration.k8s.io/v1",
          kind: "ValidatingAdmissionPolicy",
          metadata: { name },
          spec: {
            failurePolicy: "Fail",
            matchConstraints: {
              namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
              objectSelector: { matchLabels: { policy: reason } },
              resourceRules: [
                { apiGroups: ["apps"], apiVersions: ["v1"], operations: ["UPDATE"], resources: ["deployments"] },
              ],
            },
            validations: [{ expression: "object.spec.replicas > 100", message: "not now", reason }],
          },
        });
        await must(backend, "POST", `${base}/validatingadmissionpolicybindings`, {
          apiVersion: "admissionregistration.k8s.io/v1",
          kind: "ValidatingAdmissionPolicyBinding",
          metadata: { name },
          spec: { policyName: name, validationActions: ["Deny"] },
        });
      }
    });
    afterAll(async () => {
      for (const { name } of names) {
        await must(world().backend, "DELETE", `${base}/validatingadmissionpolicybindings/${name}`);
        await must(world().backend, "DELETE", `${base}/validatingadmissionpolicies/${name}`);
      }
    });

    test.each(names)("row 46: a ValidatingAdmissionPolicy denies with $reason", async ({ reason, name }) => {
      const object = await make(world(), "deployments", { metadata: { labels: { policy: reason } } });
      await eventually(async () => (await dryRun(world, object)).status >= 400);
      for (const validateOnly of [true, false]) {
        expect(await restart(world().direct, { ...object.ref, validateOnly })).toMatchObject({
          code: "FailedPrecondition",
          reason: "ADMISSION_DENIED",
          outcome: "not_applied",
          message: `cluster patcher: ValidatingAdmissionPolicy ${name} denied the restart`,
          metadata: { policy: name, binding: name, vendor_http_status: reason === "Invalid" ? "422" : "403" },
          details: {
            PreconditionFailure: { violations: [{ type: "ADMISSION_DENIED", subject: subjectOf(object.ref) }] },
          },
        });
      }
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 48: Pod Security says of a workload no more than a warning", async () => {
      const { backend } = world();
      const namespace = freeName();
      const labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/warn": "restricted",
      };
      await must(backend, "POST", "/api/v1/namespaces", {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: namespace, labels },
      });
      const object = await make(world(), "deployments", { namespace, annotations: { a: "1" } });
      expect(await restart(world().direct, object.ref)).toEqual({ code: "ok", warnings: ["SERVER_WARNING"] });
      await must(backend, "DELETE", `/api/v1/namespaces/${namespace}`);
    });
  });
}

/** The largest Deployment that etcd takes, give or take 16 bytes. */
async function largest(world: TheWorld): Promise<Made> {
  const { backend } = world();
  let [fits, tooLarge] = [1_400_000, 1_700_000];
  let object: Made | undefined;
  while (tooLarge - fits > 16) {
    const size = Math.trunc((fits + tooLarge) / 2);
    const candidate = await make(world(), "deployments", { spec: { replicas: 0 }, secret: "x".repeat(size) }).catch(
      () => undefined,
    );
    if (candidate === undefined) {
      tooLarge = size;
      continue;
    }
    fits = size;
    if (object !== undefined) {
      await backend.request("DELETE", `${object.path}?propagationPolicy=Background`);
    }
    object = candidate;
  }
  if (object === undefined) {
    throw new Error("no object was taken");
  }
  return object;
}
