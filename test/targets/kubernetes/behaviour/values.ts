import { describe, expect, test } from "vitest";
import {
  countApplied,
  eventually,
  type Made,
  make,
  observed,
  restart,
  restartInTurn,
  type TheWorld,
  valuesOf,
} from "./world.ts";

const PRECISE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/;
const SECONDS = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** Rows 24, 59 and 61 to 64: the value that is put in place, and many of them at once. */
export function valueRows(world: TheWorld): void {
  describe("values", () => {
    test.each(["deployments", "statefulsets", "daemonsets"] as const)(
      "row 59: two restarts of %s in the same second are both real",
      async (resource) => {
        const object = await make(world(), resource);
        const now = () => new Date("2026-05-04T03:02:01.234Z");
        const restartd = world().another({ now });
        const before = await object.generation();
        const values: (string | undefined)[] = [];
        for (const _ of [1, 2, 3]) {
          expect((await restart(restartd, object.ref)).code).toBe("ok");
          values.push(await object.restartedAt());
        }
        expect(await object.generation()).toBe(before + 3);
        expect(new Set(values).size).toBe(3);
        expect(values.every((value) => value?.startsWith("2026-05-04T03:02:01.234"))).toBe(true);
        expect(values.every((value) => PRECISE.test(value ?? ""))).toBe(true);
      },
    );

    test("row 59: two restarts of an Argo Rollout in the same second get two whole seconds", async () => {
      const object = await make(world(), "rollouts");
      const values: (string | undefined)[] = [];
      for (const _ of [1, 2, 3]) {
        expect((await restart(world().tapped, object.ref)).code).toBe("ok");
        values.push(await object.restartedAt());
      }
      expect(values.every((value) => SECONDS.test(value ?? ""))).toBe(true);
      const [first = 0, second = 0, third = 0] = values.map((value) => Date.parse(value ?? ""));
      expect([second > first, third > second]).toEqual([true, true]);
    });

    test("row 59: of restarts at the same time each is applied with a value of its own, or refused for one that is", async () => {
      const object = await make(world(), "deployments");
      const restartd = world().another({ now: () => new Date("2026-05-04T03:02:01.234Z") });
      const before = await object.generation();
      const applied = countApplied(await Promise.all(Array.from({ length: 10 }, () => restart(restartd, object.ref))));
      expect(applied).toBeGreaterThan(0);
      expect(new Set(await valuesOf(restartd, object.ref)).size).toBe(applied);
      expect(await object.generation()).toBe(before + applied);
    });

    test("row 61: 20 parallel callers that wait for their turn each move the generation of a Deployment", async () => {
      const object = await make(world(), "deployments");
      const before = await object.generation();
      for (const restartd of [world().direct, world().tapped]) {
        const told = await Promise.all(Array.from({ length: 10 }, () => restartInTurn(restartd, object.ref)));
        expect(told.map(({ code }) => code)).toEqual(Array(10).fill("ok"));
        expect(new Set(await valuesOf(restartd, object.ref)).size).toBe(10);
      }
      expect(await object.generation()).toBe(before + 20);
    });

    test("row 61: 20 parallel restarts from two restartds that know nothing of each other: none is lost", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      const before = await object.generation();
      const both = [world().direct, world().another()];
      const told = await Promise.all(
        both.flatMap((restartd) => Array.from({ length: 10 }, () => restart(restartd, object.ref))),
      );
      const values = await Promise.all(both.map((restartd) => valuesOf(restartd, object.ref)));
      const applied = countApplied(told);
      expect(values.map(({ length }) => length)).not.toContain(0);
      expect(new Set(values.flat()).size).toBe(applied);
      expect(await object.generation()).toBe(before + applied);
    });

    test("row 61: 10 parallel callers that wait for their turn each restart an Argo Rollout, with a value of their own", async () => {
      const object = await observed(await make(world(), "rollouts"));
      const before = await object.generation();
      const told = await Promise.all(Array.from({ length: 10 }, () => restartInTurn(world().tapped, object.ref)));
      expect(told.map(({ code }) => code)).toEqual(Array(10).fill("ok"));
      const values = world()
        .tap.writes.filter(({ status }) => status === 200)
        .map(({ body }) => putInPlace(body));
      expect(new Set(values).size).toBe(10);
      expect((await valuesOf(world().tapped, object.ref)).sort()).toEqual(values.sort());
      expect(await object.generation()).toBe(before + 10);
    });

    test("row 61: 10 parallel restarts of an Argo Rollout by as many restartds: each is applied with its own value or told of, none is lost", async () => {
      const object = await observed(await make(world(), "rollouts"));
      const before = await object.generation();
      const told = await Promise.all(Array.from({ length: 10 }, () => restart(world().another(), object.ref)));
      const applied = told.filter(({ code }) => code === "ok").length;
      expect(
        told.filter(({ code }) => code !== "ok").map(({ code, reason, outcome }) => [code, reason, outcome]),
      ).toEqual(Array(10 - applied).fill(["Aborted", "CONFLICT", "not_applied"]));
      expect(applied).toBeGreaterThan(0);
      const values = world()
        .tap.writes.filter(({ status }) => status === 200)
        .map(({ body }) => putInPlace(body));
      expect(new Set(values).size).toBe(applied);
      expect(await object.generation()).toBe(before + applied);
    });

    test("row 62: a clock behind the value in place still restarts", async () => {
      const object = await make(world(), "deployments", {
        annotations: { "kubectl.kubernetes.io/restartedAt": "2031-01-01T00:00:00Z" },
      });
      const before = await object.generation();
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      expect(await object.generation()).toBe(before + 1);
      expect(await object.restartedAt()).not.toMatch(/^2031/);
    });

    test("row 62: for an Argo Rollout the value is later than the one in place", async () => {
      const object = await make(world(), "rollouts", { spec: { restartAt: seconds(30) } });
      const before = Date.parse((await object.restartedAt()) ?? "");
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      expect(Date.parse((await object.restartedAt()) ?? "")).toBe(before + 1_000);
      const { client } = world().tapped;
      await eventually(async () => {
        const { message } = await client.getRollout({ cluster: "admin", ...object.ref });
        return message.includes(`which is scheduled for ${new Date(before + 1_000).toISOString()}`);
      });
    });

    // Argo's controller restarts pods that are older than restartAt, by the API server's clock, and takes a later time for an appointment.
    describe("two machines' clocks", () => {
      const podsOf = async ({ ref }: Made): Promise<string[]> => {
        const path = `/api/v1/namespaces/${ref.namespace}/pods?labelSelector=app%3D${ref.name}`;
        const { items } = (await world().backend.request("GET", path)).json();
        return items.map(({ metadata }: { metadata: { uid: string } }) => metadata.uid);
      };
      /** A Rollout with two pods that are there. */
      const running = async () => {
        const object = await observed(await make(world(), "rollouts", { spec: { replicas: 2 } }));
        const pods = await eventually(async () => {
          const { status } = await object.read();
          return status?.availableReplicas === 2 && (await podsOf(object));
        });
        return { object, pods };
      };
      const isDone = async (object: Made, value: string | undefined) =>
        Date.parse((await object.read()).status?.restartedAt) === Date.parse(value ?? "");

      test.each([
        ["two minutes behind", -120_000],
        ["90 seconds ahead", 90_000],
      ])("a clock %s restarts every pod of an Argo Rollout at once", async (_how, skewMs) => {
        const { object, pods } = await running();
        const restartd = world().another({ now: () => new Date(Date.now() + skewMs) });
        expect((await restart(restartd, object.ref)).code).toBe("ok");
        const value = await object.restartedAt();
        expect(Math.abs(Date.parse(value ?? "") - Date.now())).toBeLessThan(60_000);
        await eventually(() => isDone(object, value));
        const after = await podsOf(object);
        expect(pods.filter((uid) => after.includes(uid))).toEqual([]);
      });

      test("control: a value by a clock two minutes behind is done at once, and restarts nothing", async () => {
        const { object, pods } = await running();
        await object.merge({ spec: { restartAt: seconds(-120) } });
        await eventually(async () => isDone(object, await object.restartedAt()));
        expect((await podsOf(object)).sort()).toEqual(pods.sort());
      });
    });

    test("row 62: a restart that an Argo Rollout's owner has scheduled is not moved", async () => {
      const restartAt = seconds(3_600);
      const object = await make(world(), "rollouts", { spec: { restartAt } });
      const restartd = world().another({ now: () => new Date(Date.now() + 7_200_000) });
      expect(await restart(restartd, object.ref)).toMatchObject({
        code: "FailedPrecondition",
        reason: "TARGET_STATE_FORBIDS",
        outcome: "not_applied",
        message: `a restart of rollouts.argoproj.io/${world().namespace}/${object.ref.name} is scheduled for ${new Date(restartAt).toISOString()}; clear spec.restartAt first`,
      });
      expect(world().tap.writes).toEqual([]);
      expect(await object.restartedAt()).toBe(restartAt);
    });

    test.each(["garbage", "", "yesterday at noon \u2713", "2026-01-01T00:00:00+05:30", "0"])(
      "row 63: the value in place, %j, does not matter",
      async (value) => {
        const object = await make(world(), "deployments", {
          annotations: { "kubectl.kubernetes.io/restartedAt": value, b: "2" },
        });
        const before = await object.generation();
        expect((await restart(world().tapped, object.ref)).code).toBe("ok");
        expect(await object.restartedAt()).toMatch(PRECISE);
        expect(await object.generation()).toBe(before + 1);
        expect((await object.read()).spec.template.metadata.annotations.b).toBe("2");
      },
    );

    test("row 63: another zone in an Argo Rollout's restartAt", async () => {
      const before = Date.parse(seconds(30));
      const restartAt = new Date(before + 7_200_000).toISOString().replace(".000Z", "+02:00");
      const object = await make(world(), "rollouts", { spec: { restartAt } });
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      expect(Date.parse((await object.restartedAt()) ?? "")).toBe(before + 1_000);
    });

    test.each(["deployments", "statefulsets", "daemonsets"] as const)(
      "row 64: %s without annotations, and with some",
      async (resource) => {
        const bare = await make(world(), resource);
        const annotated = await make(world(), resource, { annotations: { "a.b/c_d": "1", d: "2" } });
        for (const object of [bare, annotated]) {
          expect((await restart(world().tapped, object.ref)).code).toBe("ok");
          expect((await restart(world().tapped, object.ref)).code).toBe("ok");
        }
        const annotationsOf = async (object: typeof bare) => (await object.read()).spec.template.metadata.annotations;
        expect(await annotationsOf(bare)).toEqual({
          "kubectl.kubernetes.io/restartedAt": expect.stringMatching(PRECISE),
        });
        expect(await annotationsOf(annotated)).toEqual({
          "kubectl.kubernetes.io/restartedAt": expect.stringMatching(PRECISE),
          "a.b/c_d": "1",
          d: "2",
        });
      },
    );

    test("row 64: annotations that come between the read and the write are not wiped", async () => {
      const object = await make(world(), "deployments");
      const { tap } = world();
      tap.on(
        ({ method }) => method === "PATCH",
        async (_request, forward) => {
          await object.merge({ spec: { template: { metadata: { annotations: { mine: "kept" } } } } });
          return forward();
        },
      );
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      expect((await object.read()).spec.template.metadata.annotations.mine).toBe("kept");
      expect(tap.writes.map(({ status }) => status)).toEqual([422, 200]);
    });

    test("row 64: annotations that are removed after they were remembered", async () => {
      const object = await make(world(), "deployments", { annotations: { a: "1" } });
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      await object.merge({ spec: { template: { metadata: { annotations: null } } } });
      const before = await object.generation();
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      expect(await object.generation()).toBe(before + 1);
      expect(world().tap.applicable).toHaveLength(2);
    });

    test("row 24: an Argo Rollout is restarted by spec.restartAt, never by its template", async () => {
      const object = await observed(await make(world(), "rollouts", { annotations: { a: "1" } }));
      const before = await object.read();
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      const after = await object.read();
      expect(after.spec.restartAt).toMatch(SECONDS);
      expect(after.spec.template).toEqual(before.spec.template);
      expect(after.metadata.generation).toBe(before.metadata.generation + 1);
    });

    test("row 24: a paused Argo Rollout is restarted too, as its controller does", async () => {
      const object = await make(world(), "rollouts", { spec: { paused: true } });
      expect(await restart(world().tapped, object.ref)).toEqual({ code: "ok", warnings: [] });
    });

    test("row 24: an Argo Rollout whose restart its controller is done with is restarted anew", async () => {
      const object = await make(world(), "rollouts");
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      const first = await object.restartedAt();
      await eventually(async () => (await object.read()).status?.restartedAt === first);
      expect((await restart(world().tapped, object.ref)).code).toBe("ok");
      expect(Date.parse((await object.restartedAt()) ?? "")).toBeGreaterThan(Date.parse(first ?? ""));
    });
  });
}

/** So many seconds from now, as a restartAt. */
const seconds = (ahead: number): string => `${new Date(Date.now() + ahead * 1_000).toISOString().slice(0, 19)}Z`;

/** The value that a JSON Patch puts in place. */
function putInPlace(body: string): unknown {
  const operations = JSON.parse(body) as { op: string; value: unknown }[];
  return operations.find(({ op }) => op === "add")?.value;
}
