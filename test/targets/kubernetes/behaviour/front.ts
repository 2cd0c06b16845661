import { describe, expect, test } from "vitest";
import { isDiscovery, isRead, isWrite, type TappedAnswer } from "../../../support/wiretap.ts";
import { make, restart, subjectOf, type TheWorld, tell } from "./world.ts";

const page = (status: number, type = "text/html"): TappedAnswer => ({
  status,
  headers: { "content-type": `${type}; charset=utf-8` },
  body: `<html><head><title>${status}</title></head><body>please log in</body></html>`,
});

const json = (status: number, body: unknown): TappedAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

/** Rancher's API server, which stands before its clusters (rancher/norman httperror, rancher/apiserver types). */
const rancher = (status: number, code: string) =>
  json(status, { type: "error", links: {}, code, message: "cluster not found", status });

/** Answers of what stands before an API server, and what each says of itself. */
const fronts: readonly (readonly [what: string, answer: TappedAnswer, told: string])[] = [
  ["a login page", page(200), "HTTP 200 with text/html"],
  ["a page that forbids", page(403), "HTTP 403 with text/html"],
  ["a web application firewall", page(406), "HTTP 406 with text/html"],
  ["a page for nothing", page(404), "HTTP 404 with text/html"],
  ["Rancher without the cluster", rancher(404, "NotFound"), "HTTP 404 with application/json"],
  ["Rancher that forbids", rancher(403, "Forbidden"), "HTTP 403 with application/json"],
  ["an API gateway", json(403, { message: "Missing Authentication Token" }), "HTTP 403 with application/json"],
  ["another API that lists", json(410, { items: [] }), "HTTP 410 with application/json"],
  ["a proxy without words", { status: 403, body: "" }, "HTTP 403"],
];

const IN_FRONT = (told: string, cluster = "patcher") =>
  `cluster ${cluster}: something in front of the API server answered ${told}; check the cluster's server address and what stands there`;

/** Who answered is asked before what a status code means. */
export function frontRows(world: TheWorld): void {
  describe("something in front of the API server", () => {
    const misled = (told: string) => ({
      code: "Internal",
      reason: "VENDOR_BAD_RESPONSE",
      outcome: "not_applied",
      message: IN_FRONT(told),
      metadata: { vendor_http_status: told.slice(5, 8) },
    });

    test.each(fronts)("%s to the read before a restart", async (_what, answer, told) => {
      const object = await make(world(), "deployments");
      world().tap.on(isRead, () => answer);
      expect(await restart(world().tapped, object.ref)).toMatchObject(misled(told));
      expect(world().tap.requests.filter(({ method }) => method === "PATCH")).toEqual([]);
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
    });

    test.each(fronts)("%s to GetRollout and to WatchRollout", async (_what, answer, told) => {
      const { tap, tapped } = world();
      const { ref } = await make(world(), "deployments");
      tap.on(isRead, () => answer);
      expect(await tell(() => tapped.client.getRollout({ cluster: "patcher", ...ref }))).toMatchObject(misled(told));
      tap.on(isRead, () => answer);
      const watched = await tell(async () => {
        for await (const _ of tapped.client.watchRollout({ cluster: "patcher", ...ref })) break;
      });
      expect(watched).toMatchObject(misled(told));
    });

    test.each(fronts)("%s to discovery, which is asked again the next time", async (_what, answer, told) => {
      const { ref } = await make(world(), "deployments");
      const restartd = world().another();
      world().tap.on(isDiscovery, () => answer);
      expect(await restart(restartd, ref)).toMatchObject(misled(told));
      expect(await restart(restartd, ref)).toEqual({ code: "ok", warnings: [] });
    });

    test.each(fronts)("%s to the list of a kind", async (_what, answer, told) => {
      const { tap, tapped, namespace } = world();
      tap.on(
        ({ path }) => path.endsWith(`/${namespace}/deployments`),
        () => answer,
      );
      const kind = { group: "apps", version: "v1", resource: "deployments" };
      const listed = await tell(() => tapped.client.listWorkloads({ cluster: "patcher", namespace, ...kind }));
      expect(listed).toMatchObject(misled(told));
    });

    test.each(fronts.filter(([, { status }]) => status >= 400))(
      "%s to the write: it was not applied, and what is known of the cluster stays known",
      async (_what, answer, told) => {
        const object = await make(world(), "deployments");
        const { tap, tapped } = world();
        expect((await restart(tapped, object.ref)).code).toBe("ok");
        const before = await object.generation();
        tap.reset();
        tap.on(isWrite, () => answer);
        expect(await restart(tapped, object.ref)).toMatchObject({
          ...misled(told),
          message: `${IN_FRONT(told)}; the restart was not applied`,
        });
        expect(await object.generation()).toBe(before);
        expect(await restart(tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        expect(tap.requests.filter(isDiscovery)).toEqual([]);
        expect(tap.writes).toHaveLength(2);
      },
    );

    test.each(fronts)(
      "%s in place of the answer to a write that was applied: the read proves it",
      async (_what, answer) => {
        const object = await make(world(), "deployments");
        world().tap.on(isWrite, async (_request, forward) => {
          await forward();
          return answer;
        });
        expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
        expect(world().tap.writes).toHaveLength(1);
      },
    );

    test("it does not accept the credentials, or has too many requests: surely not applied", async () => {
      const { tap, tapped } = world();
      const object = await make(world(), "deployments");
      for (const [status, reason] of [
        [401, "CLUSTER_CREDENTIALS_REJECTED"],
        [429, "THROTTLED"],
      ] as const) {
        tap.on(isWrite, () => page(status));
        const told = await restart(tapped, object.ref);
        expect(told).toMatchObject({ reason, outcome: "not_applied" });
        expect(told.message).toContain(`something in front of the API server answered HTTP ${status}`);
      }
      expect(await object.generation()).toBe(1);
    });

    test.each([page(200), page(403), json(200, {}), json(200, null), json(200, { gitVersion: 1 }), rancher(200, "x")])(
      "ListClusters says that nobody is there: %j",
      async (answer) => {
        const { tap, tapped } = world();
        tap.on(
          ({ path }) => path === "/version",
          () => answer,
          100,
        );
        const { clusters } = await tapped.client.listClusters({});
        expect(clusters.map(({ reachable, serverVersion }) => [reachable, serverVersion])).toEqual(
          clusters.map(() => [false, ""]),
        );
        expect(clusters.length).toBeGreaterThan(1);
      },
    );

    test("a read never ends in ADMISSION_DENIED, whatever the API server's words are", async () => {
      const { tap, tapped } = world();
      const { ref } = await make(world(), "deployments");
      for (const message of [
        "something new is forbidden",
        'admission webhook "v.example.com" denied the request: no',
        `deployments.apps "web" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`,
      ]) {
        tap.on(isRead, () => json(403, { kind: "Status", status: "Failure", message, reason: "Forbidden", code: 403 }));
        expect(await tell(() => tapped.client.getRollout({ cluster: "patcher", ...ref }))).toMatchObject({
          code: "PermissionDenied",
          reason: "RBAC_DENIED",
          message: `cluster patcher: the API server does not let restartd's account get ${subjectOf(ref)}`,
        });
      }
    });
  });
}
