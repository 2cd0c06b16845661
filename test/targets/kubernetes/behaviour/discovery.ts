import { describe, expect, test } from "vitest";
import { isDiscovery, type isRead, isWrite } from "../../../support/wiretap.ts";
import {
  countApplied,
  freeName,
  make,
  must,
  preconditionFailed,
  type Ref,
  restart,
  type TheWorld,
  targetOf,
} from "./world.ts";

/** The first half of what a kind is refused with, and of what it is helped with. */
const supported = "deployments.apps, statefulsets.apps, daemonsets.apps, rollouts.argoproj.io";

const unsupported: readonly (readonly [
  row: number,
  group: string,
  version: string,
  resource: string,
  way: string | undefined,
])[] = [
  [15, "", "v1", "configmaps", "restart the workloads that read it"],
  [15, "", "v1", "secrets", "restart the workloads that read it"],
  [15, "", "v1", "services", undefined],
  [18, "", "v1", "pods", "delete or evict the pod, and its controller makes a new one"],
  [18, "batch", "v1", "cronjobs", "create a Job from it now: kubectl create job --from=cronjob/NAME"],
  [19, "batch", "v1", "jobs", "delete the Job and create it again: its template cannot change"],
  [21, "apps", "v1", "replicasets", "restart the Deployment that owns it (see its ownerReferences)"],
  [21, "", "v1", "replicationcontrollers", "delete its pods, and it makes new ones"],
];

/** Rows 9 to 21 and 72: what a cluster serves, and which kinds can be restarted at all. */
export function discoveryRows(world: TheWorld): void {
  describe("discovery", () => {
    const ref = (changes: Partial<Ref> = {}): Ref => ({
      group: "apps",
      version: "v1",
      resource: "deployments",
      namespace: world().namespace,
      name: freeName(),
      ...changes,
    });
    const nothingBut = (what: (request: Parameters<typeof isRead>[0]) => boolean) => {
      expect(world().tap.requests.filter((request) => !what(request))).toEqual([]);
    };

    test.each([
      ["version", "apps", "v9"],
      ["group", "nope.example.com", "v1"],
      ["version of the core group", "", "v9"],
    ])("row 9: an unknown %s is not found", async (_what, group, version) => {
      const name = `${group || "core"}/${version}`;
      expect(await restart(world().tapped, ref({ group, version }))).toEqual({
        code: "NotFound",
        message: `cluster patcher does not serve ${name}`,
        reason: "API_VERSION_NOT_SERVED",
        outcome: "not_applied",
        metadata: { cluster: "patcher", group, version },
        details: { ResourceInfo: { resourceType: "kubernetes.api_version", resourceName: name } },
        warnings: [],
      });
      nothingBut(isDiscovery);
    });

    test.each([
      [10, "foos", undefined],
      [10, "deploymnts", "deployments"],
      [11, "Deployment", "deployments"],
      [11, "deployment", "deployments"],
      [11, "deploy", "deployments"],
      [11, "Deployments", "deployments"],
      [11, "sts", "statefulsets"],
      [11, "DaemonSet", "daemonsets"],
    ])("row %i: resource %s is not recognized, near %s", async (_row, resource, near) => {
      expect(await restart(world().tapped, ref({ resource }))).toEqual({
        code: "InvalidArgument",
        message: `unable to recognize resource apps/v1, Resource=${resource}${near ? `; did you mean ${near}?` : ""}`,
        reason: "RESOURCE_NOT_RECOGNIZED",
        outcome: "not_applied",
        metadata: { group: "apps", version: "v1", resource, ...(near && { near }) },
        details: {
          BadRequest: {
            fieldViolations: [
              {
                field: "resource",
                reason: "RESOURCE_NOT_RECOGNIZED",
                description: near ? `did you mean ${near}?` : "apps/v1 serves no such resource",
              },
            ],
          },
        },
        warnings: [],
      });
      nothingBut(isDiscovery);
    });

    test("row 12: a cluster-scoped resource has no namespace", async () => {
      const description = "nodes are cluster-scoped: they have no namespace";
      expect(await restart(world().tapped, ref({ group: "", resource: "nodes" }))).toEqual({
        code: "InvalidArgument",
        message: description,
        reason: "SCOPE_MISMATCH",
        outcome: "not_applied",
        metadata: {},
        details: { BadRequest: { fieldViolations: [{ field: "namespace", reason: "SCOPE_MISMATCH", description }] } },
        warnings: [],
      });
      nothingBut(isDiscovery);
    });

    test("row 13: a resource that nobody can patch", async () => {
      const target = ref({ group: "", resource: "bindings" });
      const sentence = "the API server does not let anybody patch bindings";
      expect(await restart(world().tapped, target)).toMatchObject(
        preconditionFailed("RESTART_NOT_SUPPORTED", target, sentence),
      );
      nothingBut(isDiscovery);
    });

    test("row 14: an old version is taken where a cluster serves it", async () => {
      const { ref: made, path, ...object } = await make(world(), "deployments");
      const old = { ...made, group: "extensions", version: "v1beta1" };
      expect(await restart(world().tapped, old)).toMatchObject({ reason: "API_VERSION_NOT_SERVED" });
      // No supported server has it any more: the tap makes it of apps/v1.
      const { tap } = world();
      tap.on(isDiscovery, (_request, forward) => forward("/apis/apps/v1"));
      tap.on(
        ({ path }) => path.startsWith("/apis/extensions/"),
        (_request, forward) => forward(path),
        2,
      );
      const before = await object.generation();
      expect(await restart(world().another(), old)).toEqual({ code: "ok", warnings: [] });
      expect(await object.generation()).toBe(before + 1);
    });

    test.each(unsupported)("row %i: %s %s %s cannot be restarted", async (_row, group, version, resource, way) => {
      const target = ref({ group, version, resource });
      const kubectl = `${resource}${group && `.${group}`} "${target.name}" restarting is not supported`;
      const sentence = `${kubectl}; ${way ?? `what can be restarted: ${supported}`}`;
      const told = await restart(world().tapped, target);
      expect(told).toMatchObject({
        ...preconditionFailed("RESTART_NOT_SUPPORTED", target, sentence),
        message: sentence,
        metadata: { group, resource, supported: supported.replaceAll(" ", "") },
      });
      const links =
        way === undefined ? undefined : { links: [{ description: way, url: expect.stringMatching(/^https:/) }] };
      expect(told.details?.Help).toEqual(links);
      nothingBut(isDiscovery);
    });

    test("row 21: a ReplicaSet that exists is left alone", async () => {
      const object = await make(world(), "replicasets");
      const before = await object.generation();
      expect(await restart(world().tapped, { ...object.ref, cluster: "admin" })).toMatchObject({
        reason: "RESTART_NOT_SUPPORTED",
      });
      expect(await object.generation()).toBe(before);
      expect(world().tap.writes).toEqual([]);
    });

    test.each([
      [16, "prunes.example.com", "widgets", undefined],
      [17, "kubevirt.io", "virtualmachines", "virtctl restart, which uses its restart subresource"],
      [17, "serving.knative.dev", "services", "make a new revision by changing its template"],
    ])("row %i: %s %s, a custom resource, is refused by the table", async (_row, group, resource, way) => {
      const body = JSON.stringify({
        kind: "APIResourceList",
        apiVersion: "v1",
        groupVersion: `${group}/v1`,
        resources: [{ name: resource, singularName: "", namespaced: true, kind: "Any", verbs: ["get", "patch"] }],
      });
      world().tap.on(isDiscovery, () => ({ status: 200, headers: { "content-type": "application/json" }, body }));
      const target = ref({ group, resource });
      const told = await restart(world().another(), target);
      const ending = way ?? `what can be restarted: ${supported}`;
      const sentence = `${resource}.${group} "${target.name}" restarting is not supported; ${ending}`;
      expect(told).toMatchObject(preconditionFailed("RESTART_NOT_SUPPORTED", target, sentence));
      expect(told.details !== undefined && "Help" in told.details).toBe(way !== undefined);
      nothingBut(isDiscovery);
    });

    test("row 16: should the table be wrong, strict validation refuses a pruned field", async () => {
      const { ref } = await make(world(), "deployments", { annotations: { a: "1" } });
      const object = JSON.stringify(await must(world().backend, "GET", world().tap.requests[0]?.path ?? "/api/v1"));
      const message = ` "" is invalid: patch: Invalid value: ${JSON.stringify(object)}: strict decoding error: unknown field "spec"`;
      const causes = [
        { reason: "FieldValueInvalid", message: "Invalid value: s3cr3t-that-nobody-may-tell", field: "patch" },
      ];
      const body = { kind: "Status", status: "Failure", message, reason: "Invalid", details: { causes }, code: 422 };
      world().tap.on(isWrite, () => ({ status: 422, body: JSON.stringify(body) }));
      const sentence = `cluster patcher: ${ref.resource}.apps/${ref.namespace}/${ref.name} has no field for a restart`;
      const told = await restart(world().tapped, ref);
      expect(told).toMatchObject({ code: "FailedPrecondition", reason: "RESTART_NOT_SUPPORTED", message: sentence });
      expect(world().tap.writes).toHaveLength(1);
    });

    test("row 72: callers at the same time share one discovery request, later ones need none", async () => {
      const restartd = world().another();
      const names = await Promise.all([1, 2, 3].map(() => make(world(), "deployments")));
      world().tap.reset();
      world().tap.on(isDiscovery, async (_request, forward) => {
        await new Promise((resolve) => setTimeout(resolve, 100)); // long enough for all to ask
        return forward();
      });
      const told = await Promise.all([...names, ...names, ...names].map(({ ref }) => restart(restartd, ref)));
      expect(countApplied(told)).toBeGreaterThanOrEqual(3); // one of each at least
      expect(world().tap.requests.filter(isDiscovery)).toHaveLength(1);
      expect((await restart(restartd, ref())).reason).toBe("TARGET_NOT_FOUND");
      expect(world().tap.requests.filter(isDiscovery)).toHaveLength(1);
    });

    test("row 72: a failed discovery is not remembered", async () => {
      const restartd = world().another();
      const { ref } = await make(world(), "deployments");
      world().tap.on(isDiscovery, () => undefined);
      expect(await restart(restartd, ref)).toMatchObject({ code: "Unavailable", reason: "CLUSTER_UNREACHABLE" });
      const message = `forbidden: User "x" cannot get path "/apis/apps/v1"`;
      world().tap.on(isDiscovery, () => ({
        status: 403,
        body: JSON.stringify({ kind: "Status", message, code: 403 }),
      }));
      expect(await restart(restartd, ref)).toMatchObject({
        code: "PermissionDenied",
        reason: "RBAC_DENIED",
        message: "cluster patcher: restartd's account may not discover /apis/apps/v1; RBAC has to grant it that",
      });
      expect(await restart(restartd, ref)).toMatchObject({ code: "ok" });
    });

    test("row 72: after a 404 page for the write, discovery is asked anew", async () => {
      const restartd = world().another();
      const { ref } = await make(world(), "deployments");
      expect(await restart(restartd, ref)).toMatchObject({ code: "ok" });
      world().tap.reset();
      world().tap.on(isWrite, () => ({
        status: 404,
        body: "404 page not found\n",
        headers: { "content-type": "text/plain" },
      }));
      expect(await restart(restartd, ref)).toMatchObject({
        code: "NotFound",
        reason: "API_VERSION_NOT_SERVED",
        outcome: "not_applied",
        details: { ResourceInfo: { resourceName: targetOf(ref) } },
      });
      expect(world().tap.writes).toHaveLength(1);
      expect(await restart(restartd, ref)).toMatchObject({ code: "ok" });
      expect(world().tap.requests.filter(isDiscovery)).toHaveLength(1);
    });
  });
}
