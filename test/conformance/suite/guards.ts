import { randomUUID } from "node:crypto";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { describe, expect, test } from "vitest";
import { REASONS } from "../../../src/core/errors.ts";
import type { Subject, World } from "../subject.ts";
import { ok, requestFor, scene } from "./scene.ts";

/** Texts that could lead a request elsewhere, were they put into a path, a query or a header. */
const INJECTIONS = [
  "..",
  ".",
  "../other",
  "a/b",
  "a//b",
  "/etc",
  "a\\b",
  "a?b=c",
  "a#b",
  "a%2Fb",
  "%2e%2e",
  "a;b",
  "a b",
  "a\nb",
  "a\r\nx-injected: 1",
  "a\u0000b",
  "ä",
  "http://127.0.0.1:1/",
];

/** What is refused before anything is sent. */
export function guards<Play extends World>(subject: Subject<Play>): void {
  describe("guards", () => {
    test.each(subject.guards)("$what: $reason", ({ reason, request: make, unless }) =>
      scene(subject, async ({ world, session }) => {
        const request = make(world);
        for (const validateOnly of [true, false]) {
          expect(await session.restart({ ...request, validateOnly, requestId: randomUUID() })).toMatchObject({
            code: codeToString(REASONS[reason]),
            reason,
            outcome: "not_applied",
            operation: undefined,
          });
        }
        expect((await session.operations.listOperations({})).operations).toEqual([]);
        expect(world.mutations()).toBe(0);
        if (unless !== undefined) {
          expect(await session.restart({ ...request, ...unless })).toMatchObject({ code: "ok" });
          expect(world.mutations()).toBe(1);
        }
      }),
    );

    test.each(subject.unconfigured)("not configured: $reason, and nobody is asked", ({ request, reason }) =>
      scene(subject, async ({ world, session }) => {
        const asked = { ...world.fresh().request, ...request };
        expect(await session.restart(asked)).toMatchObject({ code: "not_found", reason, outcome: "not_applied" });
        expect(world.requests()).toBe(0);
      }),
    );

    test.each(Object.keys(subject.ids))("%s leads nowhere else", (field) =>
      scene(subject, async ({ world, session }) => {
        const { request } = world.fresh();
        const put = subject.ids[field];
        for (const value of INJECTIONS) {
          const told = await session.restart({ ...request, ...put?.(value) });
          expect([value, told]).toMatchObject([
            value,
            { code: "invalid_argument", reason: "INVALID_ARGUMENT", outcome: "not_applied" },
          ]);
        }
        expect(world.requests()).toBe(0);
        expect((await session.operations.listOperations({})).operations).toEqual([]);
      }),
    );

    test("a field that nobody knows is refused: a mistyped validateOnly restarts nothing", () =>
      scene(subject, async ({ world, session }) => {
        const told = await session.restart({ ...world.fresh().request, validate_onyl: true });
        expect(told).toMatchObject({ code: "invalid_argument", reason: "INVALID_ARGUMENT", outcome: "not_applied" });
        expect(world.requests()).toBe(0);
      }));
  });

  describe("validate_only", () => {
    test("makes the checks, sends nothing, keeps nothing", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        const request = requestFor(thing);
        expect(await session.restart({ ...request, validateOnly: true })).toMatchObject({
          code: "ok",
          operation: undefined,
        });
        expect(world.requests()).toBeGreaterThan(0);
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 0, applied: 0 });
        expect((await session.operations.listOperations({})).operations).toEqual([]);
        // Its request_id has not been used.
        expect(await session.restart(request)).toMatchObject(ok(thing));
        expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
      }));
  });
}
