import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { workload } from "../../../../src/targets/kubernetes/simulator.ts";
import type { SimulatorBackend } from "../../../support/simulator-backend.ts";
import { deployments, jsonPatch, mergePatch, startShop, types, until, web } from "./support.ts";

let backend: SimulatorBackend;
beforeAll(async () => {
  backend = await startShop({
    customResources: [{ group: "example.com", version: "v1", kind: "Widget", plural: "widgets" }],
  });
});
afterAll(() => backend[Symbol.asyncDispose]());

const post = (path: string, body: unknown) => backend.request("POST", path, { body });
const get = async (path: string) => (await backend.request("GET", path)).json();
const jobs = "/apis/batch/v1/namespaces/shop/jobs";
const job = (name: string, suspend: boolean) => ({
  metadata: { name },
  spec: { suspend, template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "x" }] } } },
});

describe("metadata", () => {
  it("raises a Deployment's generation with its spec and its annotations, not with its labels", async () => {
    const { generation } = (await get(web)).metadata;
    const labelled = (await mergePatch(backend, web, { metadata: { labels: { tier: "front" } } })).json();
    expect(labelled.metadata.generation).toBe(generation);
    const annotated = (await mergePatch(backend, web, { metadata: { annotations: { note: "x" } } })).json();
    expect(annotated.metadata.generation).toBe(generation + 1);
    const scaled = (await mergePatch(backend, web, { spec: { minReadySeconds: 1 } })).json();
    expect(scaled.metadata.generation).toBe(generation + 2);
  });

  it("leaves a custom resource's generation alone when an annotation changes", async () => {
    const path = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary";
    const { generation } = (await get(path)).metadata;
    const answer = (await mergePatch(backend, path, { metadata: { annotations: { note: "x" } } })).json();
    expect(answer.metadata).toMatchObject({ generation, annotations: { note: "x" } });
  });

  it("keeps the resourceVersion when nothing changes", async () => {
    await backend.controllers.pause();
    const before = await get(web);
    const after = (await mergePatch(backend, web, { spec: { replicas: before.spec.replicas } })).json();
    await backend.controllers.resume();
    expect(after).toEqual(before);
  });

  it("counts a DaemonSet's templates in its annotation, in the answer itself", async () => {
    const path = "/apis/apps/v1/namespaces/shop/daemonsets/agent";
    const patch = { spec: { template: { metadata: { annotations: { r: "1" } } } } };
    expect((await mergePatch(backend, path, patch)).json().metadata.annotations).toEqual({
      "deprecated.daemonset.template.generation": "2",
    });
  });

  it("keeps a managed fields entry for each manager", async () => {
    const path = "/api/v1/namespaces/shop/configmaps/settings";
    await mergePatch(backend, `${path}?fieldManager=one`, { data: { x: "1" } });
    const entryOf = (object: { metadata: { managedFields: { manager: string }[] } }, manager: string) =>
      object.metadata.managedFields.find((entry) => entry.manager === manager);
    expect(entryOf(await get(path), "one")).toMatchObject({
      operation: "Update",
      apiVersion: "v1",
      fieldsType: "FieldsV1",
      fieldsV1: { "f:data": { "f:x": {} } },
    });
    const taken = (await mergePatch(backend, `${path}?fieldManager=two`, { data: { x: "2" } })).json();
    expect(entryOf(taken, "two")).toMatchObject({ fieldsV1: { "f:data": { "f:x": {} } } });
    expect(entryOf(taken, "one")).toBeUndefined();
  });

  it("refuses a manager's name of more than 128 bytes", async () => {
    const answer = await mergePatch(backend, `${web}?fieldManager=${"x".repeat(129)}`, {});
    expect(answer.json().message).toBe(
      'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Too long: may not be more than 128 bytes',
    );
  });
});

describe("dryRun=All", () => {
  it("answers the object as it would be and stores nothing", async () => {
    const before = await get(web);
    const answer = await mergePatch(backend, `${web}?dryRun=All`, { spec: { replicas: 9 } });
    expect(answer.json()).toMatchObject({
      metadata: { generation: before.metadata.generation + 1, resourceVersion: before.metadata.resourceVersion },
      spec: { replicas: 9 },
    });
    expect(await get(web)).toEqual(before);
  });

  it("knows no other value", async () => {
    const answer = await mergePatch(backend, `${web}?dryRun=Some`, {});
    expect(answer.json().message).toBe(
      'PatchOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"',
    );
  });
});

describe("create", () => {
  it("fills in defaults", async () => {
    const answer = await post(deployments, {
      metadata: { name: "fresh" },
      spec: {
        selector: { matchLabels: { app: "fresh" } },
        template: { metadata: { labels: { app: "fresh" } }, spec: { containers: [{ name: "c", image: "nginx" }] } },
      },
    });
    expect(answer.status).toBe(201);
    const { spec, status, metadata } = answer.json();
    expect(metadata).toMatchObject({ name: "fresh", namespace: "shop", generation: 1 });
    expect(status).toEqual({});
    expect(spec).toMatchObject({
      replicas: 1,
      strategy: { type: "RollingUpdate", rollingUpdate: { maxUnavailable: "25%", maxSurge: "25%" } },
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      template: { spec: { restartPolicy: "Always", terminationGracePeriodSeconds: 30, dnsPolicy: "ClusterFirst" } },
    });
  });

  it("gives a StatefulSet the rollingUpdate block only when no type was given", async () => {
    const make = async (name: string, updateStrategy?: object) => {
      const object = workload("apps/v1", "StatefulSet", name, { replicas: 0, serviceName: name });
      const body = { ...object, spec: { ...Object(object.spec), ...(updateStrategy && { updateStrategy }) } };
      return (await post("/apis/apps/v1/namespaces/shop/statefulsets", body)).json().spec.updateStrategy;
    };
    expect(await make("plain")).toEqual({ type: "RollingUpdate", rollingUpdate: { partition: 0 } });
    expect(await make("named", { type: "RollingUpdate" })).toEqual({ type: "RollingUpdate" });
  });

  it.each([
    [
      { metadata: { name: "web" } },
      422,
      /spec\.selector: Required value, .*spec\.template\.spec\.containers: Required value\]$/,
    ],
    [workload("apps/v1", "Deployment", "web", {}), 409, /^deployments\.apps "web" already exists$/],
    [
      workload("apps/v1", "Deployment", "Web_1", {}),
      422,
      /^Deployment\.apps "Web_1" is invalid: metadata\.name: Invalid value: "Web_1": a lowercase RFC 1123 subdomain must consist of/,
    ],
    [{ kind: "Foo" }, 400, /^Foo in version "v1" cannot be handled as a Deployment: no kind "Foo" is registered/],
    [
      { metadata: { name: "x", resourceVersion: "5" } },
      500,
      /^resourceVersion should not be set on objects to be created$/,
    ],
    [
      { metadata: { name: "x", namespace: "other" } },
      400,
      /^the namespace of the provided object does not match the namespace sent on the request$/,
    ],
  ])("refuses %j with %i", async (body, status, message) => {
    const answer = await post(deployments, body);
    expect(answer.status).toBe(status);
    expect(answer.json().message).toMatch(message);
  });

  it("needs the namespace", async () => {
    const answer = await post("/api/v1/namespaces/nowhere/configmaps", { metadata: { name: "x" } });
    expect(answer.json()).toMatchObject({ code: 404, message: 'namespaces "nowhere" not found' });
  });
});

describe("update", () => {
  it("answers 409 to a stale resourceVersion, by PUT and by PATCH", async () => {
    const object = await get(web);
    const stale = { ...object, metadata: { ...object.metadata, resourceVersion: "1" } };
    const message =
      'Operation cannot be fulfilled on deployments.apps "web": the object has been modified; please apply your changes to the latest version and try again';
    const put = await backend.request("PUT", web, { body: stale });
    expect(put.json()).toMatchObject({ code: 409, reason: "Conflict", message });
    const patched = await mergePatch(backend, web, { metadata: { resourceVersion: "1" } });
    expect(patched.json()).toMatchObject({ code: 409, reason: "Conflict", message });
  });

  it("tells another uid apart: 422 by PATCH, 409 by PUT", async () => {
    const patched = await mergePatch(backend, web, { metadata: { uid: "x" } });
    expect(patched.json().message).toBe(
      'Deployment.apps "web" is invalid: metadata.uid: Invalid value: "x": field is immutable',
    );
    const object = await get(web);
    const put = await backend.request("PUT", web, { body: { ...object, metadata: { ...object.metadata, uid: "x" } } });
    expect(put.status).toBe(409);
    expect(put.json().message).toContain("Precondition failed: UID in precondition: x, UID in object meta: ");
  });

  it.each([
    [
      { spec: { selector: { matchLabels: { app: "web", more: "x" } } } },
      /spec\.selector: Invalid value: .*: field is immutable\]$/,
    ],
    [
      { spec: { replicas: -1 } },
      /^Deployment\.apps "web" is invalid: spec\.replicas: Invalid value: -1: must be greater than or equal to 0$/,
    ],
    [
      { spec: { strategy: { type: "Recreate" } } },
      /spec\.strategy\.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'$/,
    ],
    [{ spec: { progressDeadlineSeconds: 0 } }, /must be greater than minReadySeconds$/],
  ])("refuses %j", async (body, message) => {
    const answer = await mergePatch(backend, web, body);
    expect(answer.status).toBe(422);
    expect(answer.json().message).toMatch(message);
  });

  it("refuses a StatefulSet's other fields in one sentence", async () => {
    const answer = await mergePatch(backend, "/apis/apps/v1/namespaces/shop/statefulsets/db", {
      spec: { serviceName: "x" },
    });
    expect(answer.json().message).toMatch(
      /^StatefulSet\.apps "db" is invalid: spec: Forbidden: updates to statefulset spec for fields other than/,
    );
  });

  it("refuses a running Job's template and accepts a suspended one's annotations", async () => {
    await post(jobs, job("running", false));
    await post(jobs, job("idle", true));
    const patch = { spec: { template: { metadata: { annotations: { a: "b" } } } } };
    const running = await mergePatch(backend, `${jobs}/running`, patch);
    expect(running.json()).toMatchObject({ code: 422, details: { causes: [{ field: "spec.template" }] } });
    expect((await mergePatch(backend, `${jobs}/idle`, patch)).status).toBe(200);
  });

  it("ignores a status that comes with the object", async () => {
    const before = (await get(web)).status;
    const patched = await mergePatch(backend, web, { status: { replicas: 99 } });
    expect(patched.json().status).toEqual(before);
  });

  it("scales through the subresource", async () => {
    const answer = await mergePatch(backend, `${deployments}/fresh/scale`, { spec: { replicas: 2 } });
    expect(answer.json()).toMatchObject({ kind: "Scale", apiVersion: "autoscaling/v1", spec: { replicas: 2 } });
    expect((await get(`${deployments}/fresh`)).spec.replicas).toBe(2);
    const encoded = await mergePatch(backend, `${deployments}/fresh%2Fscale`, { spec: { replicas: 1 } });
    expect(encoded.json()).toMatchObject({ kind: "Scale", spec: { replicas: 1 } });
  });
});

describe("delete", () => {
  it("removes the dependents in the background", async () => {
    const answer = await backend.request("DELETE", `${deployments}/fresh`);
    expect(answer.json()).toMatchObject({
      status: "Success",
      details: { name: "fresh", group: "apps", kind: "deployments" },
    });
    const selector = "labelSelector=app%3Dfresh";
    await until(async () => (await get(`/api/v1/namespaces/shop/pods?${selector}`)).items.length === 0);
    expect((await get(`/apis/apps/v1/namespaces/shop/replicasets?${selector}`)).items).toEqual([]);
  });

  it("waits in the foreground, and takes patches meanwhile", async () => {
    await post(deployments, workload("apps/v1", "Deployment", "leaving", { replicas: 1 }));
    const path = `${deployments}/leaving`;
    await until(async () => (await get(path)).status.readyReplicas === 1);
    await backend.pods.pause();
    const answer = await backend.request("DELETE", `${path}?propagationPolicy=Foreground`);
    expect(answer.json().metadata).toMatchObject({ finalizers: ["foregroundDeletion"], deletionGracePeriodSeconds: 0 });
    const guarded = [{ op: "test", path: "/metadata/deletionTimestamp", value: null }];
    expect((await jsonPatch(backend, guarded, path)).status).toBe(422);
    expect((await mergePatch(backend, path, { metadata: { annotations: { still: "here" } } })).status).toBe(200);
    await backend.pods.resume();
    await until(async () => (await backend.request("GET", path)).status === 404);
  });

  it("honours preconditions", async () => {
    const answer = await backend.request("DELETE", web, { body: { preconditions: { uid: "x" } } });
    expect(answer.json().message).toMatch(
      /^Operation cannot be fulfilled on Deployment\.apps "web": the UID in the precondition \(x\) does not match/,
    );
  });

  it("refuses to create in a namespace that is going, and takes patches there", async () => {
    await post("/api/v1/namespaces", { metadata: { name: "going" } });
    await post("/api/v1/namespaces/going/configmaps", { metadata: { name: "kept", finalizers: ["example.com/hold"] } });
    const deleted = await backend.request("DELETE", "/api/v1/namespaces/going");
    expect(deleted.json().status).toEqual({ phase: "Terminating" });
    const refused = await post("/api/v1/namespaces/going/configmaps", { metadata: { name: "late" } });
    expect(refused.json()).toMatchObject({
      code: 403,
      message:
        'configmaps "late" is forbidden: unable to create new content in namespace going because it is being terminated',
      details: { causes: [{ reason: "NamespaceTerminating" }] },
    });
    const kept = "/api/v1/namespaces/going/configmaps/kept";
    expect((await mergePatch(backend, kept, { data: { a: "b" } })).status).toBe(200);
    await mergePatch(backend, kept, { metadata: { finalizers: null } });
    await until(async () => (await backend.request("GET", "/api/v1/namespaces/going")).status === 404);
  });
});

describe("custom resources", () => {
  it("serves what was registered, without its unknown fields", async () => {
    const path = "/apis/example.com/v1/namespaces/shop/widgets";
    const made = await post(path, { apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "w" }, spec: {} });
    expect(made.status).toBe(201);
    const template = { metadata: { annotations: { a: "b" } } };
    const strict = await backend.request("PATCH", `${path}/w?fieldValidation=Strict`, {
      contentType: types.merge,
      body: { spec: { template } },
    });
    expect(strict.json().details.causes[0]).toMatchObject({ field: "patch", reason: "FieldValueInvalid" });
    backend.simulator.addResource({
      group: "loose.example.com",
      version: "v1",
      kind: "Bag",
      plural: "bags",
      pruning: false,
    });
    const bags = "/apis/loose.example.com/v1/namespaces/shop/bags";
    await post(bags, { apiVersion: "loose.example.com/v1", kind: "Bag", metadata: { name: "b" } });
    const kept = await mergePatch(backend, `${bags}/b?fieldValidation=Strict`, { spec: { template } });
    expect(kept.json().spec).toEqual({ template });
  });
});
