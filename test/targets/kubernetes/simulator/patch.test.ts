import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SimulatorBackend } from "../../../support/simulator-backend.ts";
import { jsonPatch, mergePatch, type Operation, refusedPatch, startShop, types, web } from "./support.ts";

let backend: SimulatorBackend;
beforeAll(async () => {
  backend = await startShop();
});
afterAll(() => backend[Symbol.asyncDispose]());

const rollout = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/canary";
const settings = "/api/v1/namespaces/shop/configmaps/settings";
const annotations = "/spec/template/metadata/annotations";

describe("JSON Patch as the API server's library does it", () => {
  const passes: Record<string, readonly Operation[]> = {
    "test null on an absent member": [{ op: "test", path: "/spec/paused", value: null }],
    "test without a value on an absent member": [{ op: "test", path: "/metadata/deletionTimestamp" }],
    "test of an equal object, whatever the order": [
      {
        op: "test",
        path: "/spec/strategy",
        value: { type: "RollingUpdate", rollingUpdate: { maxSurge: "25%", maxUnavailable: "25%" } },
      },
    ],
    "replace of an absent member": [{ op: "replace", path: "/metadata/labels/new", value: "x" }],
    "add and remove of an item": [
      { op: "add", path: "/spec/template/spec/containers/-", value: { name: "side", image: "x" } },
      { op: "remove", path: "/spec/template/spec/containers/1" },
    ],
    "no operations": [],
  };
  it.each(Object.entries(passes))("accepts %s", async (_name, operations) => {
    expect((await jsonPatch(backend, operations)).status).toBe(200);
  });

  const refused: Record<string, readonly Operation[]> = {
    "test of another value": [{ op: "test", path: "/metadata/name", value: "other" }],
    "test of false where false is left out": [{ op: "test", path: "/spec/paused", value: false }],
    "test null below a missing parent": [{ op: "test", path: "/spec/nope/deep", value: null }],
    "test null on an index beyond the end": [{ op: "test", path: "/spec/template/spec/containers/9", value: null }],
    "add below a missing parent": [{ op: "add", path: `${annotations}/key`, value: "v" }],
    "remove of an absent member": [{ op: "remove", path: annotations }],
    "copy from nowhere": [{ op: "copy", from: "/spec/nope", path: "/metadata/annotations/z" }],
    "an unknown operation": [{ op: "frob", path: "/spec/replicas", value: 1 }],
    "the whole document": [{ op: "add", path: "", value: {} }],
  };
  it.each(Object.entries(refused))("refuses %s with 422 without causes", async (_name, operations) => {
    const answer = await jsonPatch(backend, operations);
    expect(answer.json()).toEqual(refusedPatch);
    expect(answer.status).toBe(422);
  });

  it("applies nothing when the last operation fails", async () => {
    const before = (await backend.request("GET", web)).json();
    const answer = await jsonPatch(backend, [
      { op: "replace", path: "/spec/replicas", value: 7 },
      { op: "test", path: "/metadata/uid", value: "another" },
    ]);
    expect(answer.status).toBe(422);
    expect((await backend.request("GET", web)).json()).toEqual(before);
  });

  it("copies and moves", async () => {
    await jsonPatch(backend, [{ op: "copy", from: "/metadata/name", path: "/metadata/annotations/copied" }]);
    const moved = await jsonPatch(backend, [
      { op: "move", from: "/metadata/annotations/copied", path: "/metadata/annotations/moved~1here" },
    ]);
    expect(moved.json().metadata.annotations).toMatchObject({ "moved/here": "web" });
    expect(moved.json().metadata.annotations.copied).toBeUndefined();
  });

  it.each([
    [{ op: "add" }, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"],
    [[1], "error decoding patch: json: cannot unmarshal number into Go value of type handlers.jsonPatchOp"],
  ])("answers 400 to the document %j", async (body, message) => {
    const answer = await backend.request("PATCH", web, { contentType: types.json, body });
    expect(answer.status).toBe(400);
    expect(answer.json()).toMatchObject({ reason: "BadRequest", message });
  });
});

describe("the guarded restart", () => {
  it("creates the annotations map only where there is none", async () => {
    const guard = (value: string): Operation[] => [
      { op: "test", path: "/metadata/deletionTimestamp", value: null },
      { op: "test", path: "/spec/paused", value: null },
      { op: "test", path: annotations, value: null },
      { op: "add", path: annotations, value: { "kubectl.kubernetes.io/restartedAt": value } },
    ];
    const first = await jsonPatch(backend, guard("1"));
    expect(first.status).toBe(200);
    expect((await jsonPatch(backend, guard("2"))).json()).toEqual(refusedPatch);
    const key = `${annotations}/kubectl.kubernetes.io~1restartedAt`;
    const second = (await jsonPatch(backend, [{ op: "add", path: key, value: "2" }])).json();
    expect(second.spec.template.metadata.annotations).toEqual({ "kubectl.kubernetes.io/restartedAt": "2" });
    // The new revision's annotation counts too, once the controller wrote it.
    expect(second.metadata.generation).toBeGreaterThan(first.json().metadata.generation);
  });

  it("is refused on a paused Deployment", async () => {
    await mergePatch(backend, web, { spec: { paused: true } });
    const answer = await jsonPatch(backend, [{ op: "test", path: "/spec/paused", value: null }]);
    expect(answer.json()).toEqual(refusedPatch);
    const resumed = await mergePatch(backend, web, { spec: { paused: false } });
    expect(resumed.json().spec).not.toHaveProperty("paused");
  });

  it("drops an empty map, so that adding a key below it fails", async () => {
    const emptied = await mergePatch(backend, web, { spec: { template: { metadata: { annotations: null } } } });
    expect(emptied.status).toBe(200);
    const empty = await mergePatch(backend, web, { spec: { template: { metadata: { annotations: {} } } } });
    expect(empty.json().spec.template.metadata).toEqual({ labels: { app: "web" } });
  });
});

describe("merge and strategic merge patches", () => {
  it("merges containers by name in a strategic merge alone", async () => {
    const body = { spec: { template: { spec: { containers: [{ name: "web", image: "web:2" }] } } } };
    const strategic = await backend.request("PATCH", web, { contentType: types.strategic, body });
    expect(strategic.json().spec.template.spec.containers).toMatchObject([
      { name: "web", image: "web:2", imagePullPolicy: "IfNotPresent", terminationMessagePath: "/dev/termination-log" },
    ]);
    const deleted = await backend.request("PATCH", web, {
      contentType: types.strategic,
      body: { spec: { template: { spec: { containers: [{ name: "web", $patch: "delete" }] } } } },
    });
    expect(deleted.json().message).toBe(
      'Deployment.apps "web" is invalid: spec.template.spec.containers: Required value',
    );
  });

  it("answers 415 where a type is not taken", async () => {
    const custom = await backend.request("PATCH", rollout, { contentType: types.strategic, body: {} });
    expect(custom.json()).toEqual({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message:
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
      reason: "UnsupportedMediaType",
      code: 415,
    });
    const plain = await backend.request("PATCH", web, { contentType: "application/json", body: {} });
    expect(plain.json()).toMatchObject({ code: 415, message: "415: Unsupported Media Type", details: {} });
  });

  it.each([
    ["[]", 400, "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"],
    ["null", 400, "Invalid JSON Patch"],
  ])("refuses the merge patch %s", async (text, status, message) => {
    const answer = await mergePatch(backend, web, JSON.parse(text));
    expect([answer.status, answer.json().message]).toEqual([status, message]);
  });
});

describe("server-side apply", () => {
  const contentType = "application/apply-patch+yaml";
  const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "applied" }, data: { x: "1" } };
  const path = "/api/v1/namespaces/shop/configmaps/applied";

  it("creates, then merges, and owns what it applied", async () => {
    const made = await backend.request("PATCH", `${path}?fieldManager=flux`, { contentType, body });
    expect(made.status).toBe(201);
    await mergePatch(backend, `${path}?fieldManager=me`, { data: { y: "2" } });
    const again = await backend.request("PATCH", `${path}?fieldManager=flux`, { contentType, body });
    expect(again.status).toBe(200);
    expect(again.json().data).toEqual({ x: "1", y: "2" });
    expect(again.json().metadata.managedFields).toMatchObject([
      { manager: "flux", operation: "Apply", fieldsV1: { "f:data": { "f:x": {} } } },
      { manager: "me", operation: "Update", fieldsV1: { "f:data": { "f:y": {} } } },
    ]);
  });

  it("needs a field manager", async () => {
    const answer = await backend.request("PATCH", path, { contentType, body });
    expect(answer.json()).toMatchObject({
      code: 422,
      message: 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
    });
  });
});

describe("fieldValidation", () => {
  it("warns and drops by default", async () => {
    const answer = await mergePatch(backend, settings, { spec: { template: {} } });
    expect(answer.status).toBe(200);
    expect(answer.headers.warning).toBe('299 - "unknown field \\"spec\\""');
    expect(answer.json()).not.toHaveProperty("spec");
  });

  it("ignores when told to", async () => {
    const answer = await mergePatch(backend, `${settings}?fieldValidation=Ignore`, { spec: {} });
    expect([answer.status, answer.headers.warning]).toEqual([200, undefined]);
  });

  it("quotes the whole object in a strict refusal of a merge patch", async () => {
    const answer = await mergePatch(backend, `${settings}?fieldValidation=Strict`, { spec: {} });
    expect(answer.status).toBe(422);
    const { message, details } = answer.json();
    expect(message).toMatch(
      /^ "" is invalid: patch: Invalid value: "\{\\"kind\\":\\"ConfigMap\\".*\\"a\\":\\"b\\".*: strict decoding error: unknown field "spec"$/,
    );
    expect(details.causes[0]).toMatchObject({ reason: "FieldValueInvalid", field: "patch" });
  });

  it("quotes the patch alone in a strict refusal of a strategic merge", async () => {
    const answer = await backend.request("PATCH", `${web}?fieldValidation=Strict`, {
      contentType: types.strategic,
      body: { spec: { template: { foo: 1 } } },
    });
    expect(answer.json().message).toBe(
      ' "" is invalid: patch: Invalid value: "map[spec:map[template:map[foo:1]]]": strict decoding error: unknown field "spec.template.foo"',
    );
  });

  it("prunes custom resources by their schema", async () => {
    const answer = await mergePatch(backend, rollout, { spec: { foo: 1 } });
    expect(answer.headers.warning).toBe('299 - "unknown field \\"spec.foo\\""');
    const wrong = await mergePatch(backend, rollout, { spec: { replicas: "x" } });
    expect(wrong.json().message).toBe(
      'Rollout.argoproj.io "canary" is invalid: spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
    );
  });

  it("refuses a value that does not exist", async () => {
    const answer = await mergePatch(backend, `${web}?fieldValidation=Foo`, {});
    expect(answer.json().message).toBe(
      'PatchOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Foo": supported values: "", "Ignore", "Strict", "Warn"',
    );
  });
});
