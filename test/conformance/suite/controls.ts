import { describe, expect, test } from "vitest";
import { Failure } from "../../../src/core/errors.ts";
import type { Operations } from "../../../src/core/operation.ts";
import type { OpenTarget } from "../../../src/core/target.ts";
import { resending } from "../../chaos/resend.ts";
import { openSession } from "../session.ts";
import type { Subject, World } from "../subject.ts";
import { requestFor, tell } from "./scene.ts";
import { outlive } from "./tracking.ts";

/** A target whose operations are made otherwise. */
const withOperations =
  (spoil: (operations: Operations) => Operations) =>
  (open: OpenTarget): OpenTarget =>
  (runtime) =>
    open({ ...runtime, operations: spoil(runtime.operations) });

/** Does in earnest what was only to be checked. */
const inEarnest = withOperations(({ run, runAll }) => ({
  run: (action, request, context) => run(action, { ...request, validateOnly: false }, context),
  runAll: (batch, request, context) => runAll(batch, { ...request, validateOnly: false }, context),
}));

/** Tells everybody a secret when it has ended. */
const blabbing = (secret: string) => {
  const blab = async (work: Promise<unknown>): Promise<never> => {
    await work;
    throw new Failure("INTERNAL", `the secret is ${secret}`, { cause: new Error(secret) });
  };
  return withOperations(({ run, runAll }) => ({
    run: (...call) => blab(run(...call)),
    runAll: (...call) => blab(runAll(...call)),
  }));
};

/** Negative controls: what the suite counts and looks for is there to be found where a target is wrong. */
export function controls<Play extends World>(subject: Subject<Play>): void {
  describe("negative controls", () => {
    test("a target that sends again when it does not know is caught", async () => {
      await using world = await subject.start();
      await using session = await openSession(subject, world, { spoil: resending });
      const { mutations } = await tell({ world, session }, world.fresh(), { disconnect: "before-executing" });
      expect(mutations).toBe(2);
    });

    test("a target that sends again what a dead process may have sent is caught", async () => {
      expect((await outlive(subject, "after W2")).life.mutations).toBe(0);
      expect((await outlive(subject, "after W2", { spoil: resending })).life.mutations).toBe(1);
    });

    test("a target that does not heed validate_only is caught", async () => {
      await using world = await subject.start();
      await using session = await openSession(subject, world, { spoil: inEarnest });
      const thing = world.fresh();
      await session.restart({ ...requestFor(thing), validateOnly: true });
      expect({ mutations: world.mutations(), applied: world.applied(thing) }).toEqual({ mutations: 1, applied: 1 });
    });

    test("every place is searched for secrets", async () => {
      await using world = await subject.start();
      for (const secret of world.secrets) {
        await using session = await openSession(subject, world, { spoil: blabbing(secret) });
        const told = await session.restart({ ...requestFor(world.fresh()), reason: secret });
        expect(told).toMatchObject({ code: "internal", reason: "INTERNAL" });
        expect(await session.sightsOf([secret])).toEqual(["told", "log", "store"]);
      }
    });
  });
}
