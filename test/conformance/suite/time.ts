import { setTimeout as delay, setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Failpoint } from "../../../src/operations/records/failpoint.ts";
import type { Subject, World } from "../subject.ts";
import { ok, requestFor, scene } from "./scene.ts";

/** Long enough (ms) for the checks before a send, with room for a busy machine. */
const DEADLINE_MS = 3_000;

/** Longer (ms) than the deadline. */
const LATE_MS = 4_000;

/** Callers who do not wait, and operators who change their mind. */
export function time<Play extends World>(subject: Subject<Play>): void {
  describe("deadlines", () => {
    test("before the send: surely nothing was sent", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        world.inject("read", { delayBefore: LATE_MS, times: Number.POSITIVE_INFINITY });
        expect(await session.restart(requestFor(thing), { deadlineMs: 150 })).toMatchObject({
          code: "deadline_exceeded",
          reason: "DEADLINE_EXCEEDED",
          outcome: "not_applied",
        });
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 0, applied: 0 });
      }));

    test("after the send: unknown to the caller, and the operation goes on to the truth", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const request = requestFor(thing);
        world.inject("mutation", { delayAfter: LATE_MS });
        expect(await session.restart(request, { deadlineMs: DEADLINE_MS })).toMatchObject({
          code: "deadline_exceeded",
          reason: "OUTCOME_UNKNOWN",
          outcome: "unknown",
          operation: expect.stringMatching(/^operations\//),
        });
        expect(await session.ended(thing)).toMatchObject({ state: "SUCCEEDED", outcome: "APPLIED" });
        expect(await session.restart(request)).toMatchObject(ok(thing));
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
      }));
  });

  describe("cancellation", () => {
    test("a caller who leaves before the send: nothing is sent", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const looks = Promise.withResolvers<void>();
        const left = Promise.withResolvers<void>();
        const before = (): Promise<void> => {
          looks.resolve();
          return left.promise;
        };
        world.inject("read", { before, times: Number.POSITIVE_INFINITY });
        const leaving = new AbortController();
        const told = session.restart(requestFor(thing), { signal: leaving.signal });
        await looks.promise;
        leaving.abort();
        expect((await told).code).toBe("nothing");
        await delay(100);
        for (let turn = 0; turn < 5; turn++) await setImmediate(); // the server has read that nobody waits, however busy the machine is
        left.resolve();
        await delay(500); // whatever would have been sent has been
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 0, applied: 0 });
      }));

    test("a caller who leaves after the send: it ends as it ends", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const request = requestFor(thing);
        const leaving = new AbortController();
        world.inject("mutation", { delayAfter: LATE_MS });
        const told = session.restart(request, { signal: leaving.signal });
        await session.until(thing, () => world.mutations() === 1);
        leaving.abort();
        expect((await told).code).toBe("nothing");
        expect(await session.ended(thing)).toMatchObject({ state: "SUCCEEDED", outcome: "APPLIED" });
        expect(await session.restart(request)).toMatchObject(ok(thing));
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
      }));

    test("CancelOperation before the send: nothing is sent, for good", () => {
      const accepted = Promise.withResolvers<void>();
      const cancelled = Promise.withResolvers<void>();
      const failpoint = async (point: Failpoint): Promise<void> => {
        if (point !== "before W2") return;
        accepted.resolve();
        await cancelled.promise;
      };
      return scene(
        subject,
        async ({ world, session }) => {
          const thing = world.fresh();
          const request = requestFor(thing);
          const told = session.restart(request);
          await accepted.promise;
          const [open] = await session.operationsOn(thing);
          if (subject.permitsAtOnce) {
            // What is accepted is permitted by the same write: before it there is nothing to cancel, and nothing was sent.
            expect({ open, mutations: world.mutations() }).toEqual({ open: undefined, mutations: 0 });
            cancelled.resolve();
            expect(await told).toMatchObject({ code: "ok" });
            return;
          }
          expect(open).toMatchObject({ state: "ACCEPTED", outcome: "NOT_APPLIED" });
          await session.operations.cancelOperation({ name: open?.metadata.parent || open?.name || "" });
          cancelled.resolve();
          const failure = { code: "canceled", reason: "CANCELLED", outcome: "not_applied" };
          expect(await told).toMatchObject(failure);
          expect(await session.ended(thing)).toMatchObject({ state: "CANCELLED", outcome: "NOT_APPLIED" });
          expect(await session.restart(request)).toMatchObject(failure);
          expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 0, applied: 0 });
        },
        { failpoint },
      );
    });

    test("CancelOperation after the send recalls nothing: it is noted, and the operation ends as it ends", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        world.hold();
        expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
        const { name } = await session.until(thing, ({ state }) => state === "SENT");
        await session.operations.cancelOperation({ name });
        world.release();
        const ended = await session.ended(thing);
        expect(ended).toMatchObject({ state: "SUCCEEDED", outcome: "APPLIED", metadata: { cancelRequested: true } });
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
      }));
  });
}
