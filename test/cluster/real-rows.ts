import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { BackendResponse } from "../support/backend.ts";
import { openWebhook, type Webhook } from "../support/webhook.ts";
import { isDryRun, isWrite } from "../support/wiretap.ts";
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

/** What only a real API server produces: its own admission, validation, limits, custom resources, shutting down. */
export function realRows(world: TheWorld): void {
  webhookRows(world);
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

    test("row 51: API Priority and Fairness rejects, really", async () => {
      const { backend } = world();
      const object = await make(world(), "deployments");
      const name = freeName();
      const flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
      await must(backend, "POST", `${flow}/prioritylevelconfigurations`, {
        apiVersion: "flowcontrol.apiserver.k8s.io/v1",
        kind: "PriorityLevelConfiguration",
        metadata: { name },
        spec: {
          type: "Limited",
          limited: {
            nominalConcurrencyShares: 0,
            lendablePercent: 0,
            borrowingLimitPercent: 0,
            limitResponse: { type: "Reject" },
          },
        },
      });
      const schema = await must(backend, "POST", `${flow}/flowschemas`, {
        apiVersion: "flowcontrol.apiserver.k8s.io/v1",
        kind: "FlowSchema",
        metadata: { name },
        spec: {
          priorityLevelConfiguration: { name },
          matchingPrecedence: 2,
          rules: [
            {
              subjects: [{ kind: "User", user: { name: "patcher" } }],
              resourceRules: [{ verbs: ["patch"], apiGroups: ["apps"], resources: ["deployments"], namespaces: [world().namespace] }],
            },
          ],
        },
      });
      try {
        await eventually(async () => (await dryRun(world, object, "patcher")).status === 429);
        expect(await restart(world().tapped, object.ref)).toMatchObject({
          code: "ResourceExhausted",
          reason: "THROTTLED",
          outcome: "not_applied",
          metadata: { flow_schema_uid: schema.metadata.uid, vendor_http_status: "429" },
          details: { RetryInfo: { retryDelay: "1s" } },
        });
        expect(world().tap.writes).toHaveLength(1);
        expect(await object.generation()).toBe(1);
      } finally {
        await must(backend, "DELETE", `${flow}/flowschemas/${name}`);
        await must(backend, "DELETE", `${flow}/prioritylevelconfigurations/${name}`);
      }
      await eventually(async () => (await dryRun(world, object, "patcher")).status === 200);
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

  describe("custom resources", () => {
    const group = `${freeName()}.example.com`;
    const kinds = [
      { plural: "widgets", scope: "Namespaced", schema: { type: "object", properties: { spec: { type: "object" } } } },
      { plural: "blobs", scope: "Namespaced", schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
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
            names: { plural, singular: kind, kind: `${kind.charAt(0).toUpperCase()}${kind.slice(1)}`, shortNames: [plural.slice(0, 2)] },
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
        await world().backend.request("DELETE", `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${plural}.${group}`);
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
      expect(await restart(world().tapped, ref("wi"))).toMatchObject({ reason: "RESOURCE_NOT_RECOGNIZED", metadata: { near: "widgets" } });
    });

    test("row 12: a custom resource that is cluster-scoped", async () => {
      expect(await restart(world().tapped, ref("planets"))).toMatchObject({ code: "InvalidArgument", reason: "SCOPE_MISMATCH" });
    });

    test("row 16: what the API server says of a pruned field is recognised, should a kind's table be wrong", async () => {
      // The write of a Deployment's restart, sent to the custom resource instead.
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const { tap, tapped, namespace } = world();
      const widget = `/apis/${group}/v1/namespaces/${namespace}/widgets/one`;
      await must(world().backend, "PATCH", widget, { spec: {} }, "application/merge-patch+json");
      tap.on(isWrite, async (request) => {
        const patch = { spec: { template: { metadata: { annotations: { a: SECRET } } } } };
        return world().backend.request("PATCH", `${widget}?${request.query}`, { body: patch, contentType: "application/merge-patch+json" });
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

  describe("the API server ends", () => {
    test("row 54: while the restart is on its way: what it came to is told, and it is never sent again", async () => {
      const { backend, direct } = world();
      await using webhook = await install(world);
      const object = await make(world(), "deployments");
      expect((await restart(direct, object.ref)).code).toBe("ok");
      const asked = Promise.withResolvers<void>();
      webhook.admit = async ({ dryRun }) => {
        if (!dryRun) {
          asked.resolve();
          await new Promise((resolve) => setTimeout(resolve, 2_000));
        }
        return {};
      };
      const call = restart(direct, object.ref);
      await asked.promise;
      const restarting = backend.restartServer();
      const told = await call;
      // It may have ended the request while it was shutting down, and its answer may have come through or not.
      expect(["ok", "OUTCOME_UNKNOWN"]).toContain(told.reason ?? told.code);
      await restarting;
      webhook.admit = () => ({});
      const generation = await object.generation();
      expect(told.code === "ok" ? [3] : [2, 3]).toContain(generation);
      // The connections of the old server are gone, and the first call finds the new one.
      expect(await restart(direct, object.ref)).toEqual({ code: "ok", warnings: [] });
      expect(await object.generation()).toBe(generation + 1);
    });
  });
}

/** A write that would be made by `user`, as a dry run. */
const dryRun = (world: TheWorld, object: Made, user = "admin"): Promise<BackendResponse> =>
  world().backend.request("PATCH", `${object.path}?dryRun=All`, {
    user,
    body: { metadata: { labels: { probe: "x" } } },
    contentType: "application/merge-patch+json",
  });

/** Puts a webhook, validating and mutating, in front of the updates of this world's namespace, and waits until it is asked. */
async function install(world: TheWorld): Promise<Webhook> {
  const { backend, namespace } = world();
  const webhook = await openWebhook();
  const name = freeName();
  const base = "/apis/admissionregistration.k8s.io/v1";
  for (const [type, kind] of [
    ["validating", "ValidatingWebhookConfiguration"],
    ["mutating", "MutatingWebhookConfiguration"],
  ] as const) {
    await must(backend, "POST", `${base}/${type}webhookconfigurations`, {
      apiVersion: "admissionregistration.k8s.io/v1",
      kind,
      metadata: { name },
      webhooks: [
        {
          name: `${type}.example.com`,
          clientConfig: { ...webhook.clientConfig, url: `${webhook.clientConfig.url}${type}` },
          rules: [{ operations: ["UPDATE"], apiGroups: ["apps"], apiVersions: ["*"], resources: ["deployments"] }],
          namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": namespace } },
          objectSelector: { matchExpressions: [{ key: "unhooked", operator: "DoesNotExist" }] },
          sideEffects: "None",
          admissionReviewVersions: ["v1"],
          timeoutSeconds: 3,
        },
      ],
    });
  }
  const probe = await make(world(), "deployments", { spec: { replicas: 0 } });
  let hits = new Set<unknown>();
  webhook.admit = (request) => {
    hits.add(request.uid);
    return {};
  };
  await eventually(async () => {
    hits = new Set();
    await dryRun(world, probe);
    return hits.size === 2;
  });
  webhook.admit = () => ({});
  return {
    ...webhook,
    clientConfig: webhook.clientConfig,
    requests: webhook.requests,
    get admit() {
      return webhook.admit;
    },
    set admit(value) {
      webhook.admit = value;
    },
    async [Symbol.asyncDispose]() {
      for (const type of ["validating", "mutating"]) {
        await must(backend, "DELETE", `${base}/${type}webhookconfigurations/${name}`);
      }
      await eventually(async () => {
        hits = new Set();
        webhook.admit = ({ uid }) => {
          hits.add(uid);
          return {};
        };
        await dryRun(world, probe);
        return hits.size === 0;
      });
      await webhook[Symbol.asyncDispose]();
    },
  };
}

function webhookRows(world: TheWorld): void {
  describe("webhooks", () => {
    let webhook: Webhook;
    beforeAll(async () => {
      webhook = await install(world);
    });
    afterAll(() => webhook?.[Symbol.asyncDispose]());
    beforeEach(() => {
      webhook.admit = () => ({});
    });

    test.each([
      [46, 400, {}],
      [46, 403, { code: 403, reason: "Forbidden" }],
      [46, 422, { code: 422, reason: "Invalid" }],
      [46, 409, { code: 409, reason: "Conflict" }],
      [46, 429, { code: 429, reason: "TooManyRequests" }],
      [43, 401, { code: 401, reason: "Unauthorized" }],
    ])("row %i: a webhook denies with %i", async (_row, code, status) => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      webhook.admit = ({ dryRun }) => ({ allowed: false, status: { ...status, message: `no, because of S (dry run: ${dryRun})` } });
      for (const validateOnly of [false, true]) {
        const told = await restart(world().tapped, { ...object.ref, validateOnly });
        expect(told).toMatchObject({
          code: "FailedPrecondition",
          reason: "ADMISSION_DENIED",
          outcome: "not_applied",
          message: expect.stringMatching(/^cluster patcher: admission webhook (mutating|validating)\.example\.com denied the restart$/),
          metadata: { vendor_http_status: String(code), webhook: expect.stringMatching(/\.example\.com$/) },
          details: { PreconditionFailure: { violations: [{ type: "ADMISSION_DENIED", subject: subjectOf(object.ref) }] } },
        });
      }
      expect(world().tap.writes).toHaveLength(1);
      expect(world().tap.requests.filter(isDryRun)).toHaveLength(1);
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 47: a webhook that hangs up", async () => {
      const object = await make(world(), "deployments");
      webhook.admit = () => undefined;
      expect(await restart(world().tapped, object.ref)).toMatchObject({
        code: "Unavailable",
        reason: "ADMISSION_WEBHOOK_UNAVAILABLE",
        outcome: "not_applied",
        message: "cluster patcher: admission webhook mutating.example.com does not answer, so that nothing is admitted",
        metadata: { webhook: "mutating.example.com", vendor_http_status: "500" },
        details: { RetryInfo: { retryDelay: "5s" } },
      });
      expect(world().tap.writes).toHaveLength(1);
      expect(await object.restartedAt()).toBeUndefined();
      webhook.admit = () => ({});
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
    });

    test("row 47: a webhook that takes too long", async () => {
      const object = await make(world(), "deployments");
      webhook.admit = () => new Promise((resolve) => setTimeout(resolve, 4_000, {}));
      const told = await restart(world().tapped, object.ref);
      expect(told).toMatchObject({ code: "Unavailable", reason: "ADMISSION_WEBHOOK_UNAVAILABLE", outcome: "not_applied" });
      expect(world().tap.writes).toHaveLength(1);
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 55: the deadline passes while a webhook thinks: unknown, and what came of it is logged", async () => {
      const object = await make(world(), "deployments");
      const restartd = world().another({ deadlineMs: 1_000 });
      webhook.admit = ({ dryRun }) => (dryRun ? {} : new Promise((resolve) => setTimeout(resolve, 2_000, {})));
      const told = await restart(restartd, object.ref);
      expect(told).toMatchObject({ code: "DeadlineExceeded", reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      // The server was told how long we wait: it gives up by itself, and one read finds nothing.
      const [late] = restartd.background;
      await expect(late?.work).rejects.toMatchObject({ outcome: expect.stringMatching(/unknown|not_applied/) });
      expect(world().tap.writes).toHaveLength(1);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 58: the API server's own timeout", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const { tap, tapped } = world();
      webhook.admit = ({ dryRun }) => (dryRun ? {} : new Promise((resolve) => setTimeout(resolve, 1_500, {})));
      tap.on(isWrite, (request, forward) => {
        request.query.set("timeout", "700ms"); // less than restartd asks for, so that it hears of it
        return forward();
      });
      const told = await restart(tapped, object.ref);
      expect(told.outcome).not.toBe("applied");
      expect(["OUTCOME_UNKNOWN", "ADMISSION_WEBHOOK_UNAVAILABLE"]).toContain(told.reason);
      expect(tap.writes).toHaveLength(1);
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 70: a mutating webhook takes the annotation out", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
      webhook.admit = ({ object: seen }) =>
        seen.spec.template.metadata.annotations?.["kubectl.kubernetes.io/restartedAt"] ? { patch: [{ op: "remove", path }] } : {};
      for (const validateOnly of [true, false]) {
        expect(await restart(world().tapped, { ...object.ref, validateOnly })).toMatchObject({
          code: "FailedPrecondition",
          reason: "ANNOTATION_STRIPPED",
          outcome: "not_applied",
        });
      }
      expect(await object.generation()).toBe(1);
      expect(world().tap.writes).toHaveLength(1);
    });

    test("row 71: a webhook's warning", async () => {
      const { ref } = await make(world(), "deployments");
      webhook.admit = () => ({ warnings: ["mind the gap"] });
      expect(await restart(world().direct, ref)).toEqual({ code: "ok", warnings: ["SERVER_WARNING"] });
    });

    test("row 23: a webhook that pauses the Deployment on its way", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      webhook.admit = ({ object: seen }) => (seen.spec.paused ? {} : { patch: [{ op: "add", path: "/spec/paused", value: true }] });
      const told = await restart(world().tapped, object.ref);
      expect(told).toMatchObject({ code: "FailedPrecondition", reason: "PAUSED", outcome: "applied" });
      expect(await object.restartedAt()).toBeDefined();
    });
  });
}

function policyRows(world: TheWorld): void {
  describe("policies", () => {
    const base = "/apis/admissionregistration.k8s.io/v1";
    const names = ["Invalid", "Forbidden"].map((reason) => ({ reason, name: `${reason.toLowerCase()}-${randomBytes(4).toString("hex")}` }));
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
              resourceRules: [{ apiGroups: ["apps"], apiVersions: ["v1"], operations: ["UPDATE"], resources: ["deployments"] }],
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
          details: { PreconditionFailure: { violations: [{ type: "ADMISSION_DENIED", subject: subjectOf(object.ref) }] } },
        });
      }
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 48: Pod Security says of a workload no more than a warning", async () => {
      const { backend } = world();
      const namespace = freeName();
      const labels = { "pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted" };
      await must(backend, "POST", "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: namespace, labels } });
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
    const candidate = await make(world(), "deployments", { spec: { replicas: 0 }, secret: "x".repeat(size) }).catch(() => undefined);
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
