import { join } from "node:path";
import { type DescMethodUnary, toJson } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import type { Failpoint } from "../../../src/operations/records/failpoint.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { openSession, type SessionOptions } from "../session.ts";
import type { Subject, Thing, World } from "../subject.ts";
import { dieAt } from "./death.ts";
import { endOf, ok, requestFor, scene } from "./scene.ts";

/** From the vendor's taking the request to its end. */
export function tracking<Play extends World>(subject: Subject<Play>): void {
  describe("tracking", () => {
    test("goes on until the end, and the operation holds the answer", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        world.hold();
        const told = await session.restart({ ...thing.request, reason: "a new certificate" });
        expect(told).toMatchObject(ok(thing));
        const name = told.operation ?? "";
        const going = await session.operations.waitOperation({ name, timeout: { nanos: 300_000_000 } });
        expect(going.done).toBe(false);
        expect(await session.operationsOn(thing)).toMatchObject([
          { state: "SENT", outcome: "APPLIED", metadata: { target: thing.target, reason: "a new certificate" } },
        ]);
        world.release();
        const ended = await session.operations.waitOperation({ name, timeout: { seconds: 60n } });
        expect(responseOf(subject.method, ended)).toEqual(told.answer);
        expect(await session.operationsOn(thing)).toMatchObject([{ state: "SUCCEEDED", outcome: "APPLIED" }]);
        expect(world.mutations()).toBe(1);
      }));

    test.each(subject.endings)("$what: $reason", ({ reason, before, after }) =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        before?.(world, thing);
        world.hold();
        expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
        await session.until(thing, ({ state }) => state === "SENT");
        expect(world.applied(thing)).toBe(1);
        after?.(world, thing);
        world.release();
        expect(await session.ended(thing)).toMatchObject({ state: "FAILED", outcome: "APPLIED", reason });
        expect(world.mutations()).toBe(1);
      }),
    );

    test("goes on when looks fail for a while", () =>
      scene(subject, async ({ world, session }) => {
        const thing = world.fresh();
        world.hold();
        expect(await session.restart(requestFor(thing))).toMatchObject(ok(thing));
        world.inject("read", { disconnect: "before-executing", times: 2 });
        world.inject("read", { answer: { status: 503, headers: { "retry-after": "1" }, body: "" }, times: 2 });
        world.release();
        expect(await session.ended(thing)).toMatchObject({ state: "SUCCEEDED", outcome: "APPLIED" });
        expect(world.mutations()).toBe(1);
      }));
  });
}

const responseOf = ({ output }: DescMethodUnary, { result }: Operation) => {
  const message = result.case === "response" ? anyUnpack(result.value, output) : undefined;
  return message && toJson(output, message);
};

/** What became of a call whose server died on the way, and of the same call to the next one. */
export interface Afterlife {
  readonly state: string;
  readonly outcome: string;
  readonly reason: string | undefined;
  readonly again: { readonly code: string; readonly operation: string | undefined };
  readonly mutations: number;
  readonly applied: number;
}

/** Has a server die at a point of a restart, starts another one with what it left, and makes the same call there. */
export async function outlive<Play extends World>(
  subject: Subject<Play>,
  point: Failpoint,
  options: SessionOptions = {},
): Promise<{ readonly thing: Thing; readonly life: Afterlife; readonly sights: readonly string[] }> {
  const death = dieAt(point);
  await using world = await subject.start();
  const thing = world.fresh();
  const request = requestFor(thing);
  await using folder = await temporaryFolder();
  const file = join(folder.path, "restartd.db");
  await using first = await openSession(subject, world, { failpoint: death.failpoint, file });
  const leaving = new AbortController();
  try {
    if (!point.endsWith("W4")) world.hold();
    const lost = first.restart(request, { signal: leaving.signal });
    await death.happened;
    await using second = await openSession(subject, world, { ...options, file: await first.copy() });
    const [left] = await second.operationsOn(thing);
    if (left !== undefined) await second.until(thing, ({ done, state }) => done || state === "SENT");
    world.release();
    const again = left === undefined ? await second.restart(request) : undefined;
    const ended = await second.ended(thing);
    const same = again ?? (await second.restart(request));
    leaving.abort();
    await lost;
    const { state, outcome, reason } = ended;
    const life = { state, outcome, reason, again: same, mutations: world.mutations(), applied: world.applied(thing) };
    return { thing, life, sights: await second.sightsOf(world.secrets) };
  } finally {
    death.bury();
  }
}

/** The process dies, and the next one goes on: nothing is sent again, and every verdict is true. */
export function restarts<Play extends World>(subject: Subject<Play>): void {
  const nothing = { code: "canceled", reason: "CANCELLED", outcome: "not_applied" };
  const cancelled = { state: "CANCELLED", outcome: "NOT_APPLIED", again: nothing, mutations: 0, applied: 0 };
  const lost = (applied: boolean) => (thing: Thing) => {
    const { seen, again } = endOf(subject, thing, applied);
    return { ...seen, again, mutations: Number(applied), applied: Number(applied) };
  };
  const done = (thing: Thing) => ({
    state: "SUCCEEDED",
    outcome: "APPLIED",
    again: ok(thing),
    mutations: 1,
    applied: 1,
  });
  const POINTS: readonly (readonly [Failpoint, (thing: Thing) => object])[] = [
    ["before W1", done], // nothing was kept, nor sent: the call that comes again is the first one
    ["after W1", subject.permitsAtOnce ? lost(false) : () => cancelled],
    ["before W2", subject.permitsAtOnce ? done : () => cancelled],
    ["after W2", lost(false)],
    ["after send", lost(true)],
    ["before W3", lost(true)],
    ["after W3", done],
    ["before W4", done],
    ["after W4", done],
  ];
  describe("a restart of restartd in the middle", () => {
    test.each(POINTS)("%s", async (point, expected) => {
      const { thing, life, sights } = await outlive(subject, point);
      expect(life).toMatchObject(expected(thing));
      expect(sights).toEqual([]);
    });
  });
}
