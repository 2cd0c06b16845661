import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { startSimulator } from "../../../../src/targets/kubernetes/simulator.ts";
import type { SimulatorBackend } from "../../../support/simulator-backend.ts";
import { deployments, mergePatch, startShop, web } from "./support.ts";

let backend: SimulatorBackend;
beforeAll(async () => {
  backend = await startShop({
    customResources: [{ group: "example.com", version: "v1", kind: "Widget", plural: "widgets", namespaced: false }],
  });
});
afterAll(() => backend[Symbol.asyncDispose]());

const notServed = {
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message: "the server could not find the requested resource",
  reason: "NotFound",
  details: {},
  code: 404,
};

describe("discovery", () => {
  it("lists resources with their subresources", async () => {
    const { resources, groupVersion } = (await backend.request("GET", "/apis/apps/v1", { user: "nobody" })).json();
    expect(groupVersion).toBe("apps/v1");
    expect(resources.find(({ name }: { name: string }) => name === "deployments")).toEqual({
      name: "deployments",
      singularName: "deployment",
      namespaced: true,
      kind: "Deployment",
      verbs: ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
      shortNames: ["deploy"],
      categories: ["all"],
    });
    expect(resources.map(({ name }: { name: string }) => name)).toContain("deployments/scale");
  });

  it("lists groups, and what has no patch verb", async () => {
    const { groups } = (await backend.request("GET", "/apis")).json();
    expect(groups.map(({ name }: { name: string }) => name)).toEqual([
      "apps",
      "autoscaling",
      "batch",
      "policy",
      "argoproj.io",
      "example.com",
    ]);
    const { resources } = (await backend.request("GET", "/api/v1")).json();
    expect(resources.find(({ name }: { name: string }) => name === "bindings").verbs).toEqual(["create"]);
    expect(resources.find(({ name }: { name: string }) => name === "nodes").namespaced).toBe(false);
    expect((await backend.request("GET", "/version")).json().gitVersion).toBe("v1.36.3");
    expect((await backend.request("GET", "/readyz")).body).toBe("ok");
  });
});

describe("paths that are not served", () => {
  it.each([
    "/apis/apps/v9",
    "/apis/apps/v1/foos",
    "/apis/apps/v1/namespaces/shop/foos/x",
    "/apis/apps/v1/deployments/web",
    "/api/v1/namespaces/shop/nodes/x",
    `${web}/foo`,
  ])("answers a Status to %s", async (path) => {
    const answer = await backend.request("GET", path);
    expect(answer.json()).toEqual(notServed);
    expect(answer.status).toBe(404);
  });

  it.each([
    "/apis/nope.io/v1",
    "/apis/nope.io/v1/namespaces/shop/foos/x",
    "/apis/argoproj.io/v9",
    "/apis/argoproj.io/v1alpha1/foos",
    "/foo",
  ])("answers plain text to %s", async (path) => {
    const answer = await backend.request("GET", path);
    expect([answer.status, answer.body]).toEqual([404, "404 page not found\n"]);
    expect(answer.headers["content-type"]).toBe("text/plain; charset=utf-8");
  });

  it("answers 405 to a verb that the resource has not", async () => {
    const answer = await mergePatch(backend, deployments, {});
    expect(answer.json()).toMatchObject({ code: 405, reason: "MethodNotAllowed", details: {} });
    expect((await mergePatch(backend, "/api/v1/namespaces/shop/bindings/x", {})).json()).toEqual(notServed);
    expect((await mergePatch(backend, "/api/v1/componentstatuses/etcd-0", {})).status).toBe(405);
  });
});

describe("who may do what", () => {
  it("answers 401 to an unknown token, and to none", async () => {
    const body = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: "Unauthorized",
      reason: "Unauthorized",
      code: 401,
    };
    expect((await backend.request("GET", web, { user: "intruder" })).json()).toEqual(body);
    const response = await fetch(backend.url + web);
    expect([response.status, await response.json()]).toEqual([401, body]);
  });

  it.each([
    [
      "nobody",
      "GET",
      web,
      'deployments.apps "web" is forbidden: User "nobody" cannot get resource "deployments" in API group "apps" in the namespace "shop"',
    ],
    [
      "nobody",
      "GET",
      deployments,
      'deployments.apps is forbidden: User "nobody" cannot list resource "deployments" in API group "apps" in the namespace "shop"',
    ],
    [
      "nobody",
      "GET",
      "/apis/apps/v1/deployments",
      'deployments.apps is forbidden: User "nobody" cannot list resource "deployments" in API group "apps" at the cluster scope',
    ],
    [
      "nobody",
      "GET",
      `${web}/status`,
      'deployments.apps "web" is forbidden: User "nobody" cannot get resource "deployments/status" in API group "apps" in the namespace "shop"',
    ],
    [
      "blind",
      "GET",
      web,
      'deployments.apps "web" is forbidden: User "blind" cannot get resource "deployments" in API group "apps" in the namespace "shop"',
    ],
    [
      "reader",
      "PATCH",
      web,
      'deployments.apps "web" is forbidden: User "reader" cannot patch resource "deployments" in API group "apps" in the namespace "shop"',
    ],
    [
      "patcher",
      "GET",
      "/api/v1/namespaces/shop/configmaps/settings",
      'configmaps "settings" is forbidden: User "patcher" cannot get resource "configmaps" in API group "" in the namespace "shop"',
    ],
    ["patcher", "GET", `${deployments}/absent?watch=1`, undefined],
    ["nobody", "GET", "/metrics", 'forbidden: User "nobody" cannot get path "/metrics"'],
  ])("%s: %s %s", async (user, method, path, message) => {
    const answer = await backend.request(method, path, { user });
    expect(answer.status).toBe(message === undefined ? 404 : 403);
    if (message !== undefined) expect(answer.json()).toMatchObject({ reason: "Forbidden", message, code: 403 });
  });

  it("lets blind patch what it cannot see", async () => {
    expect((await mergePatch(backend, `${web}?dryRun=All`, {}, "blind")).status).toBe(200);
  });

  it("impersonates for who may, and refuses with the constrained verb", async () => {
    const headers = { "impersonate-user": "alice" };
    const refused = await backend.request("PATCH", web, {
      user: "patcher",
      headers,
      body: {},
      contentType: "application/merge-patch+json",
    });
    expect(refused.json()).toMatchObject({
      message:
        'deployments.apps "web" is forbidden: User "patcher" cannot impersonate-on:user-info:patch resource "deployments" in API group "apps" in the namespace "shop"',
      details: { name: "web", group: "apps", kind: "deployments" },
    });
    const alice = await backend.request("GET", web, { headers });
    expect(alice.json().message).toContain('User "alice" cannot get resource');
    expect((await backend.request("GET", web, { headers: { "impersonate-user": "patcher" } })).status).toBe(200);
    const nameless = await backend.request("GET", web, { headers: { "impersonate-group": "g" } });
    expect(nameless.json()).toMatchObject({
      code: 400,
      message:
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"g"}, Extra:map[string][]string(nil)} without impersonating a user name',
    });
  });
});

describe("every answer", () => {
  it("echoes the audit id, or makes one", async () => {
    const mine = await backend.request("GET", web, { headers: { "audit-id": "my-id" } });
    expect(mine.headers["audit-id"]).toBe("my-id");
    const made = await backend.request("GET", "/nowhere");
    expect(made.headers["audit-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(made.headers["x-kubernetes-pf-flowschema-uid"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("escapes JSON as Go does", async () => {
    const answer = await mergePatch(backend, `${web}?dryRun=All`, { metadata: { annotations: { html: "<&>" } } });
    expect(answer.body).toContain('"html":"\\u003c\\u0026\\u003e"');
    expect(answer.body.endsWith("}\n")).toBe(true);
  });

  it("is compressed when it is long and the client accepts it", async () => {
    await mergePatch(backend, "/api/v1/namespaces/shop/configmaps/settings", { data: { long: "x".repeat(200_000) } });
    const path = "/api/v1/namespaces/shop/configmaps/settings";
    const zipped = await backend.request("GET", path, { headers: { "accept-encoding": "gzip" } });
    expect(zipped.headers["content-encoding"]).toBe("gzip");
    expect((await backend.request("GET", path)).json().data.long).toHaveLength(200_000);
  });

  it("is a table, or metadata alone, for who asks for it", async () => {
    const table = await backend.request("GET", deployments, {
      headers: { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" },
    });
    expect(table.json()).toMatchObject({ kind: "Table", rows: [{ cells: ["web", "3/3", 3, 3, expect.any(String)] }] });
    const refused = await backend.request("GET", web, { headers: { accept: "text/html" } });
    expect(refused.json()).toMatchObject({ code: 406, reason: "NotAcceptable" });
  });

  it("is 413 to a body of more than 3 MiB", async () => {
    const answer = await mergePatch(backend, web, { a: "x".repeat(3 * 1024 * 1024) });
    expect(answer.json()).toMatchObject({ code: 413, message: "Request entity too large: limit is 3145728" });
  });
});

describe("kubeconfig()", () => {
  it("has a context for every user, and the one that was asked for as current", () => {
    const config = parse(backend.simulator.kubeconfig({ currentContext: "patcher", namespace: "shop" }));
    expect(config["current-context"]).toBe("patcher");
    expect(config.contexts.map(({ name }: { name: string }) => name)).toEqual(["admin", ...backend.users]);
    expect(config.clusters[0].cluster.server).toBe(backend.url);
    expect(config.contexts[0].context.namespace).toBe("shop");
  });
});

describe("startSimulator()", () => {
  it("closes its port and every connection when disposed", async () => {
    const simulator = await startSimulator();
    const { url } = simulator;
    await fetch(`${url}/readyz`).then((response) => response.text());
    expect(simulator.connections).toBe(1);
    await simulator[Symbol.asyncDispose]();
    expect(simulator.connections).toBe(0);
    await expect(fetch(`${url}/readyz`)).rejects.toThrow("fetch failed");
  });
});
