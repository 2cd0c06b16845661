import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isAside, isRead } from "../../../support/wiretap.ts";
import { freeName, make, type Ref, restart, type TheWorld, tell } from "./world.ts";

const NAME =
  "must be a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', starting and ending with a letter or digit, at most 253 characters";
const NAMESPACE =
  "must be a DNS-1123 label: lower-case letters, digits and '-', starting and ending with a letter or digit, at most 63 characters";
const VERSION =
  "must be a DNS-1035 label such as v1: lower-case letters, digits and '-', starting with a letter, at most 63 characters";
const RESOURCE =
  "must be the plural of a resource such as deployments: letters, digits and '-', starting with a letter, no subresource, at most 63 characters";

const good = {
  cluster: "patcher",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

/** Rows 1 to 7: what is refused by looking at the request alone. */
export function requestRows(world: TheWorld): void {
  describe("requests", () => {
    const refusals = async (request: Partial<typeof good>) => {
      const told = await restart(world().tapped, { ...good, ...request });
      expect(told).toMatchObject({ code: "InvalidArgument", reason: "INVALID_ARGUMENT", outcome: "not_applied" });
      expect(world().tap.requests, "nothing is asked of the cluster").toEqual([]);
      const { fieldViolations } = (told.details?.BadRequest ?? {}) as { fieldViolations?: Record<string, string>[] };
      return { ...told, fieldViolations };
    };

    test("row 1: every empty field is named at once, and nothing is sent", async () => {
      const told = await refusals({ cluster: "", version: "", resource: "", namespace: "", name: "" });
      const required = (field: string) => ({ field, description: "value is required", reason: "REQUIRED" });
      expect(told.fieldViolations).toEqual(["cluster", "version", "resource", "namespace", "name"].map(required));
      expect(told.message).toBe("cluster: value is required, and 4 more");
    });

    test("row 1: every wrong field is named at once", async () => {
      const told = await refusals({ group: "-", version: "V1", resource: "a/b", namespace: "A", name: "B" });
      const violation = (field: string, description: string, rule: string) => ({
        field,
        description,
        reason: `KUBERNETES_${rule}`,
      });
      expect(told.fieldViolations).toEqual([
        violation("group", NAME, "OBJECT_NAME"),
        violation("version", VERSION, "API_VERSION"),
        violation("resource", RESOURCE, "RESOURCE_NAME"),
        violation("namespace", NAMESPACE, "NAMESPACE_NAME"),
        violation("name", NAME, "OBJECT_NAME"),
      ]);
    });

    test("row 2: an empty group is the core group, of which nothing can be restarted", async () => {
      const told = await restart(world().tapped, { ...good, group: "", resource: "pods" });
      expect(told).toMatchObject({ code: "FailedPrecondition", reason: "RESTART_NOT_SUPPORTED" });
      expect(world().tap.requests.map(({ path }) => path)).toEqual(["/api/v1"]);
    });

    const wrong: readonly (readonly [row: number, field: keyof Ref, value: string])[] = [
      [3, "name", "Web_1"],
      [3, "name", "WEB"],
      [3, "name", "-web"],
      [3, "name", "web-"],
      [3, "name", ".web"],
      [3, "name", "web."],
      [3, "name", "we..b"],
      [3, "name", "a".repeat(254)],
      [3, "namespace", "a".repeat(64)],
      [3, "namespace", "shop.eu"],
      [3, "version", "1"],
      [3, "version", "v".repeat(64)],
      [3, "resource", "1deployments"],
      [3, "resource", "d".repeat(64)],
      [3, "group", "Apps"],
      [3, "group", "a".repeat(254)],
      [4, "name", ".."],
      [4, "name", "."],
      [4, "name", "%2e%2e"],
      [4, "namespace", ".."],
      [4, "resource", ".."],
      [4, "version", "."],
      [4, "group", ".."],
      [5, "name", "web/scale"],
      [5, "name", "web%2Fscale"],
      [5, "resource", "deployments/status"],
      [5, "namespace", "shop/deployments"],
      [6, "name", "web?dryRun=All"],
      [6, "name", "web#x"],
      [6, "name", "web%00"],
      [6, "name", "web\u0000"],
      [6, "name", "web\n"],
      [6, "name", "wéb"],
      [6, "namespace", "shop\r\nx: y"],
      [6, "resource", "deployments\u2028"],
      [6, "version", "v1 "],
    ];
    test.each(wrong)("row %i: %s %j is refused", async (_row, field, value) => {
      const rule = { name: NAME, group: NAME, namespace: NAMESPACE, version: VERSION, resource: RESOURCE }[field];
      const told = await refusals({ [field]: value });
      expect(told.fieldViolations).toEqual([
        { field, description: rule, reason: expect.stringMatching(/^KUBERNETES_/) },
      ]);
      // The rule is told, never the value with its control characters.
      expect(told.message).toBe(`${field}: ${rule}`);
    });

    test("row 3: the longest names pass the rules", async () => {
      const name = [..."abcd"]
        .map((letter) => letter.repeat(63))
        .join(".")
        .slice(0, 253);
      const told = await restart(world().tapped, { ...good, namespace: "n".repeat(63), name });
      expect(told).toMatchObject({ code: "NotFound", reason: "TARGET_NOT_FOUND" });
    });

    test("row 7: an unknown cluster is not found, and nothing is sent", async () => {
      const told = await restart(world().tapped, { ...good, cluster: "atlantis" });
      expect(told).toEqual({
        code: "NotFound",
        message: "no cluster atlantis is configured; ListClusters names those that are",
        reason: "CLUSTER_NOT_FOUND",
        outcome: "not_applied",
        metadata: { cluster: "atlantis" },
        details: { ResourceInfo: { resourceType: "cluster", resourceName: "atlantis" } },
        warnings: [],
      });
      expect(world().tap.requests).toEqual([]);
    });

    test("row 60: a call that is repeated with its request_id is answered, and nothing is sent again", async () => {
      const { tap, tapped } = world();
      const object = await make(world(), "deployments", { spec: { replicas: 0 } });
      const names: (string | null)[] = [];
      const requestId = randomUUID();
      for (const id of [requestId, requestId, requestId.toUpperCase()]) {
        const told = await tell((onHeader) =>
          tapped.client.restart(
            { cluster: "patcher", ...object.ref, requestId: id },
            {
              onHeader(headers) {
                names.push(headers.get("operation-name"));
                onHeader(headers);
              },
            },
          ),
        );
        expect(told).toEqual({ code: "ok", warnings: ["NO_REPLICAS"] });
      }
      expect(names[0]).toMatch(/^operations\/[0-9a-f-]{36}$/);
      expect(new Set(names).size).toBe(1);
      expect(tap.writes).toHaveLength(1);
      expect(tap.requests.filter(isRead)).toHaveLength(1);
      const other = { ...object.ref, requestId, reason: "another" };
      expect(await restart(tapped, other)).toMatchObject({ code: "InvalidArgument", reason: "REQUEST_ID_REUSED" });
      expect(await object.generation()).toBe(2);
    });

    test("row 60: without a request_id each call is an operation of its own; one that is refused is none", async () => {
      const object = await make(world(), "deployments");
      const restartd = world().another();
      const nameOf = async (request: { validateOnly?: boolean; name?: string }) => {
        const named: (string | null)[] = [];
        const onHeader = (headers: Headers) => void named.push(headers.get("operation-name"));
        await restart(restartd, { ...object.ref, ...request }, { onHeader });
        return named[0] ?? null;
      };
      const names = [await nameOf({}), await nameOf({})];
      expect(new Set(names).size).toBe(2);
      expect(names).not.toContain(null);
      expect(await nameOf({ validateOnly: true })).toBeNull();
      expect(await nameOf({ name: freeName() })).toBeNull();
      const operations = await (await restartd.store).list({ where: [], limit: 10 });
      expect(operations.map(({ name }) => name)).toEqual(names.toReversed());
    });

    test("a restart is one discovery, one read beside one look for who takes its template, and one write; the next of the same object is the write alone", async () => {
      const { tap, tapped } = world();
      const { ref, path } = await make(world(), "deployments");
      const fresh = world().another();
      expect(await restart(fresh, { ...ref, reason: "because" })).toEqual({ code: "ok", warnings: [] });
      const rollouts = `/apis/argoproj.io/v1alpha1/namespaces/${ref.namespace}/rollouts`;
      expect(tap.requests.filter(isAside).map(({ path: asked }) => asked)).toEqual([rollouts]);
      expect(
        tap.requests.filter((request) => !isAside(request)).map(({ method, path: asked }) => [method, asked]),
      ).toEqual([
        ["GET", "/apis/apps/v1"],
        ["GET", path],
        ["PATCH", path],
      ]);
      tap.reset();
      expect(await restart(fresh, ref)).toEqual({ code: "ok", warnings: [] });
      expect(tap.requests.map(({ method, path }) => [method, path])).toEqual([["PATCH", path]]);
      const [write] = tap.writes;
      expect(Object.fromEntries(write?.query ?? [])).toEqual({
        fieldManager: "restartd",
        fieldValidation: "Strict",
        timeout: expect.stringMatching(/^\d+ms$/),
      });
      expect(write?.headers["content-type"]).toBe("application/json-patch+json");
      expect(write?.headers["audit-id"]).toBe(fresh.calls[1]?.id);
      expect(fresh.calls.map(({ outcome, target }) => [outcome, target])).toEqual(
        Array(2).fill(["applied", `clusters/patcher/apps/v1/namespaces/${ref.namespace}/deployments/${ref.name}`]),
      );
      expect(tapped.calls.length).toBeGreaterThan(0);
    });

    test("an object that is not there is told of, whatever its name", async () => {
      const name = freeName();
      const ref = { ...good, namespace: world().namespace, name };
      expect(await restart(world().tapped, ref)).toMatchObject({ code: "NotFound", reason: "TARGET_NOT_FOUND" });
    });
  });
}
