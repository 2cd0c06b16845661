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
  restart,
  subjectOf,
  type TheWorld,
} from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";

/** A write that would be made by `user`, as a dry run. */
export const dryRun = (world: TheWorld, object: Made, user = "admin"): Promise<BackendResponse> =>
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

/** What a real API server makes of webhooks, and what it makes of a slow one. */
export function webhookRows(world: TheWorld): void {
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
      webhook.admit = ({ dryRun }) => ({
        allowed: false,
        status: { ...status, message: `no, because of S (dry run: ${dryRun})` },
      });
      for (const validateOnly of [false, true]) {
        const told = await restart(world().tapped, { ...object.ref, validateOnly });
        expect(told).toMatchObject({
          code: "FailedPrecondition",
          reason: "ADMISSION_DENIED",
          outcome: "not_applied",
          message: expect.stringMatching(
            /^cluster patcher: admission webhook (mutating|validating)\.example\.com denied the restart$/,
          ),
          metadata: { vendor_http_status: String(code), webhook: expect.stringMatching(/\.example\.com$/) },
          details: {
            PreconditionFailure: { violations: [{ type: "ADMISSION_DENIED", subject: subjectOf(object.ref) }] },
          },
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
      expect(told).toMatchObject({
        code: "Unavailable",
        reason: "ADMISSION_WEBHOOK_UNAVAILABLE",
        outcome: "not_applied",
      });
      expect(world().tap.writes).toHaveLength(1);
      expect(await object.restartedAt()).toBeUndefined();
    });

    test("row 55: the deadline passes while a webhook thinks: unknown, and what came of it is logged", async () => {
      const object = await make(world(), "deployments");
      const restartd = world().another({ deadlineMs: 2_000 });
      webhook.admit = ({ dryRun }) => (dryRun ? {} : new Promise((resolve) => setTimeout(resolve, 2_800, {})));
      const told = await restart(restartd, object.ref);
      expect(told).toMatchObject({ code: "DeadlineExceeded", reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      // The server was told how long we wait: it gives up by itself, and one read finds nothing.
      const [late] = restartd.background;
      await expect(late?.work).rejects.toMatchObject({ outcome: expect.stringMatching(/unknown|not_applied/) });
      expect(world().tap.writes).toHaveLength(1);
      await new Promise((resolve) => setTimeout(resolve, 3_000));
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

    test("row 51: API Priority and Fairness rejects", async () => {
      const { backend, namespace } = world();
      const [object, other] = [await make(world(), "deployments"), await make(world(), "deployments")];
      const name = freeName();
      const flow = "/apis/flowcontrol.apiserver.k8s.io/v1";
      const kinds = { prioritylevelconfigurations: "PriorityLevelConfiguration", flowschemas: "FlowSchema" };
      const create = (plural: keyof typeof kinds, spec: unknown) =>
        must(backend, "POST", `${flow}/${plural}`, {
          apiVersion: "flowcontrol.apiserver.k8s.io/v1",
          kind: kinds[plural],
          metadata: { name },
          spec,
        });
      // No share at all still lets one request in: the webhook keeps that one busy.
      const limited = {
        nominalConcurrencyShares: 0,
        lendablePercent: 0,
        borrowingLimitPercent: 0,
        limitResponse: { type: "Reject" },
      };
      await create("prioritylevelconfigurations", { type: "Limited", limited });
      const subjects = [{ kind: "User", user: { name: "patcher" } }];
      const resourceRules = [
        { verbs: ["patch"], apiGroups: ["apps"], resources: ["deployments"], namespaces: [namespace] },
      ];
      const schema = await create("flowschemas", {
        priorityLevelConfiguration: { name },
        matchingPrecedence: 2,
        rules: [{ subjects, resourceRules }],
      });
      const { uid } = schema.metadata;
      const flowOf = async () => (await dryRun(world, object, "patcher")).headers["x-kubernetes-pf-flowschema-uid"];
      const released = Promise.withResolvers<void>();
      try {
        await eventually(async () => (await flowOf()) === uid);
        const held = Promise.withResolvers<void>();
        webhook.admit = async (request) => {
          if (request.name === other.ref.name) {
            held.resolve();
            await released.promise;
          }
          return {};
        };
        const busy = dryRun(world, other, "patcher");
        await held.promise;
        expect(await restart(world().tapped, object.ref)).toMatchObject({
          code: "ResourceExhausted",
          reason: "THROTTLED",
          outcome: "not_applied",
          metadata: { flow_schema_uid: uid, vendor_http_status: "429" },
          details: { RetryInfo: { retryDelay: expect.stringMatching(/^[1-9]\d*s$/) } },
        });
        expect(world().tap.writes).toHaveLength(1);
        expect(await object.restartedAt()).toBeUndefined();
        released.resolve();
        await busy;
        expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
      } finally {
        released.resolve();
        await must(backend, "DELETE", `${flow}/flowschemas/${name}`);
        await must(backend, "DELETE", `${flow}/prioritylevelconfigurations/${name}`);
        await eventually(async () => (await flowOf()) !== uid);
      }
    });

    test("row 70: a mutating webhook takes the annotation out", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt";
      webhook.admit = ({ object: seen }) =>
        seen.spec.template.metadata.annotations?.["kubectl.kubernetes.io/restartedAt"]
          ? { patch: [{ op: "remove", path }] }
          : {};
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
      webhook.admit = ({ object: seen }) =>
        seen.spec.paused ? {} : { patch: [{ op: "add", path: "/spec/paused", value: true }] };
      const told = await restart(world().tapped, object.ref);
      expect(told).toMatchObject({ code: "FailedPrecondition", reason: "PAUSED", outcome: "applied" });
      expect(world().tapped.calls.at(-1)?.outcome).toBe("applied"); // for the log
      expect(await object.restartedAt()).toBeDefined();
    });
  });
}

/** What becomes of a restart whose API server ends meanwhile. */
export function endingRows(world: TheWorld, cluster: () => ControlPlane): void {
  describe("the API server ends", () => {
    /** A restart that a webhook keeps on its way for two seconds, and what it was told when `end` ended the API server. */
    const duringRestart = async (end: () => Promise<void>) => {
      const { direct } = world();
      await using webhook = await install(world);
      const object = await make(world(), "deployments");
      const next = await make(world(), "deployments");
      for (const { ref } of [object, next]) expect((await restart(direct, ref)).code).toBe("ok");
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
      const [told] = await Promise.all([call, end()]);
      webhook.admit = () => ({});
      // The connections of the old server are gone, and the first call finds the new one.
      expect(await restart(direct, next.ref)).toEqual({ code: "ok", warnings: [] });
      expect(await next.generation()).toBe(3);
      return { told, generation: await object.generation() };
    };

    test("row 54: SIGTERM while the restart is on its way: the API server ends it first, and it is never sent again", async () => {
      const { told, generation } = await duringRestart(() => cluster().restartServer());
      expect(told).toEqual({ code: "ok", warnings: [] });
      expect(generation).toBe(3);
    });

    test("row 54: SIGKILL while the restart is on its way: unknown, and it is never sent again", async () => {
      const { told, generation } = await duringRestart(async () => {
        const { pid } = (await cluster().processes.status())["kube-apiserver"] ?? {};
        process.kill(pid ?? Number.NaN, "SIGKILL");
        await new Promise((resolve) => setTimeout(resolve, 500)); // for the read, which finds nobody
        await cluster().restartServer();
      });
      expect(told).toMatchObject({ code: "Unknown", reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      expect(generation).toBe(2);
    });
  });
}
