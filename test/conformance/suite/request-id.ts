import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Subject, World } from "../subject.ts";
import { ok, requestFor, scene } from "./scene.ts";

/** Repeatable calls, and calls that meet. */
export function requestIds<Play extends World>(subject: Subject<Play>): void {
  describe("request_id", () => {
    test("the same call, at the same time and later, is one operation with one answer", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const request = requestFor(thing);
        world.inject("mutation", { delayAfter: 100 });
        const told = await Promise.all([request, request, request].map((same) => session.restart(same)));
        await session.ended(thing);
        told.push(await session.restart(request));
        for (const one of told) expect(one).toMatchObject(ok(thing));
        expect(new Set(told.map(({ operation }) => operation)).size).toBe(1);
        expect(new Set(told.map(({ answer }) => JSON.stringify(answer))).size).toBe(1);
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
      }));

    test("the same call whose checks find what the first one has begun is answered as the first one", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const request = requestFor(thing);
        world.hold();
        // The one that comes first is overtaken while it looks. Where both look at the same, they do so together after a while.
        const faster = Promise.withResolvers<void>();
        world.inject("read", { before: () => Promise.race([faster.promise, delay(1_500)]) });
        const overtaken = session.restart(request);
        while (world.requests() === 0) await delay(5);
        const first = await session.restart(request);
        faster.resolve();
        expect(first).toMatchObject(ok(thing));
        expect(await overtaken).toEqual(first);
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
        world.release();
      }));

    test("with other parameters it is refused", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const request = requestFor(thing);
        const { operation } = await session.restart(request);
        for (const different of [{ reason: "another" }, subject.otherwise]) {
          expect(await session.restart({ ...request, ...different })).toMatchObject({
            code: "invalid_argument",
            reason: "REQUEST_ID_REUSED",
            outcome: "not_applied",
            metadata: { operation },
          });
        }
        expect(world.mutations()).toBe(1);
      }));

    test("what is refused before it was accepted uses none", () =>
      scene(subject, async ({ world, session }) => {
        const [guard] = subject.guards;
        if (guard === undefined) throw new Error("a subject has at least one guard");
        const { requestId = "", ...request } = requestFor(world.fresh());
        expect(await session.restart({ ...guard.request(world), requestId })).toMatchObject({ reason: guard.reason });
        expect(await session.restart({ ...request, requestId })).toMatchObject({ code: "ok" });
        expect(world.mutations()).toBe(1);
      }));
  });

  describe("a second call", () => {
    test(`about the same target waits for the first one's ${subject.blocksUntil}`, () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        world.hold();
        expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
        const first = await session.until(thing, ({ state }) => state === "SENT");
        const checked = await session.restart({ ...thing.request, validateOnly: true });
        const second = await session.restart(requestFor(thing));
        expect(checked.code).toBe(second.code);
        if (subject.blocksUntil === "ended") {
          for (const told of [checked, second]) {
            expect(told).toMatchObject({
              code: "aborted",
              reason: "OPERATION_IN_PROGRESS",
              outcome: "not_applied",
              metadata: { operation: first.name, state: "SENT" },
            });
          }
          expect(world.mutations()).toBe(1);
        } else {
          expect(second).toMatchObject(ok(thing));
          expect(world.mutations()).toBe(2);
        }
        world.release();
        await session.ended(thing);
        world.renew(thing);
        expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
      }));

    test("about another target does not wait", () =>
      scene(subject, async ({ world, session }) => {
        const things = [world.fresh(), world.fresh()] as const;
        world.hold();
        for (const thing of things) expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
        world.release();
        for (const thing of things) expect(await session.ended(thing)).toMatchObject({ state: "SUCCEEDED" });
        expect(things.map((thing) => world.applied(thing))).toEqual([1, 1]);
      }));
  });
}
