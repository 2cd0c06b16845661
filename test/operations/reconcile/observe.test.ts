import type { EmptySchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import type { Observation } from "../../../src/core/operation.ts";
import { parseFailure } from "../../../src/core/status.ts";
import { applyObservation } from "../../../src/operations/reconcile/observe.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import { createFakeAction, createFakeVendor } from "../../support/fake-action.ts";
import { createMemoryDatabase } from "../../support/memory-store.ts";
import { record } from "../records.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

type Seen = Observation<typeof EmptySchema>;

/** One operation, which began to be SENT, or UNKNOWN, at time 0 on both clocks. */
async function looking(part: Partial<OperationRecord>) {
  const clock = { wallMs: 0, upMs: 0 };
  const database = createMemoryDatabase({ now: () => new Date(clock.wallMs) });
  const store = database.connect("replica");
  const first = record({ sendTime: 0, updateTime: 0, ...part });
  await store.insert([first], { event: "accepted" });
  const vendor = createFakeVendor({ monotonic: () => 0 });
  const action = createFakeAction({ vendor, settleMs: 60_000, endsWithinMs: 2 * HOUR_MS });
  const known = (): OperationRecord => database.operations.get(first.name) ?? first;
  return {
    clock,
    known,
    audit: () => database.audit.map(({ event, detail }) => [event, detail]),
    /** What one look makes of it. */
    async look(seen: Seen): Promise<OperationRecord> {
      await applyObservation(known(), action as unknown as Parameters<typeof applyObservation>[1], seen, clock.upMs, {
        store,
        now: () => clock.wallMs,
        failpoint: () => {},
        timing: { settleMs: undefined, endsWithinMs: undefined },
      });
      return known();
    },
  };
}

const unclear: Seen = { kind: "unclear" };
const absent: Seen = { kind: "absent" };
const running: Seen = { kind: "running", progress: "EXECUTING" };

describe("the wait for an end", () => {
  it.each<[string, Seen, number]>([
    ["no look shows anything", unclear, 2 * HOUR_MS],
    ["every look shows no trace", absent, 2 * HOUR_MS],
    ["the vendor goes on saying that it runs", running, DAY_MS],
  ])("ends while %s: UNRESOLVED, applied", async (_what, seen, boundMs) => {
    const { clock, look, audit, known } = await looking({ state: "SENT" });
    clock.upMs = boundMs - 1;
    expect(await look(seen)).toMatchObject({ state: "SENT", endTime: undefined });
    clock.upMs = boundMs;
    expect(await look(seen)).toMatchObject({ state: "UNRESOLVED", blocks: true, endTime: clock.wallMs });
    const { name, target, error = "" } = known();
    const failure = parseFailure(error);
    expect(failure).toMatchObject({
      reason: "OUTCOME_UNRESOLVED",
      outcome: "applied",
      message: `the request for ${target} was applied, and nothing has shown how it ended; an operator has to find out and resolve ${name}`,
    });
    expect(audit().at(-1)).toEqual(["unresolved", failure.message]);
  });

  it.each<[string, Seen, number]>([
    ["running", running, DAY_MS],
    ["nothing", unclear, 2 * HOUR_MS],
  ])("is no longer for processes that end meanwhile, while looks show %s", async (_what, seen, boundMs) => {
    const { clock, look } = await looking({ state: "SENT" });
    clock.wallMs = boundMs - 1;
    expect((await look(seen)).state).toBe("SENT");
    clock.wallMs = boundMs;
    expect((await look(seen)).state).toBe("UNRESOLVED");
  });

  it("is not cut short where the end is seen after all", async () => {
    const { clock, look } = await looking({ state: "SENT" });
    clock.upMs = 2 * DAY_MS;
    expect((await look({ kind: "succeeded" })).state).toBe("SUCCEEDED");
  });

  it("keeps nobody from a target that it did not block any more", async () => {
    const { clock, look } = await looking({ state: "SENT", blocks: false });
    clock.upMs = DAY_MS;
    expect(await look(running)).toMatchObject({ state: "UNRESOLVED", blocks: false });
  });

  it("is no shorter for a doubt, whatever the wall clock says", async () => {
    const { clock, look } = await looking({ state: "UNKNOWN" });
    clock.wallMs = 2 * DAY_MS;
    expect((await look(absent)).state).toBe("UNKNOWN");
  });
});
