import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Failure, retryInfo } from "../../../src/core/errors.ts";
import type { Follower, Observation } from "../../../src/core/operation.ts";
import { parseFailure } from "../../../src/core/status.ts";
import { noTracer } from "../../../src/core/tracer.ts";
import { createLooks, type Looks, type LooksOptions } from "../../../src/operations/reconcile/looks.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import type { Store } from "../../../src/operations/store/store.ts";
import { createFakeAction, createFakeVendor, type FakeAction } from "../../support/fake-action.ts";
import { createMemoryDatabase, type MemoryDatabase } from "../../support/memory-store.ts";
import { record } from "../records.ts";

type Seen = Observation<typeof EmptySchema>;

const running = (progress: string): Seen => ({ kind: "running", progress, againMs: 100 });
const succeeded: Seen = { kind: "succeeded", response: create(EmptySchema) };

let database: MemoryDatabase;
let store: Store;
let looks: Looks;
/** What a look shows. */
let shows: () => Seen;
let looked: number;
/** Who follows, by the operation; gone when that was ended. */
const followers = new Map<string, Follower<typeof EmptySchema>>();
let errors: string[];

function start(
  follow?: FakeAction["follow"],
  { lookMs = 2_000, ...part }: Partial<LooksOptions> & { lookMs?: number } = {},
): void {
  const vendor = createFakeVendor({ monotonic: () => performance.now() });
  const action: FakeAction = {
    ...createFakeAction({ vendor, settleMs: 1_000, againMs: lookMs }),
    observe: async () => {
      looked++;
      return shows();
    },
    ...(follow && { follow }),
  };
  looks = createLooks({
    store,
    now: Date.now,
    monotonic: () => performance.now(),
    failpoint: () => {},
    timing: { settleMs: undefined, endsWithinMs: undefined },
    age: () => 0,
    actionOf: () => action,
    isParent: () => false,
    rollUp: async () => {},
    onError: (error) => void errors.push(String(error)),
    tracer: noTracer,
    ...part,
  });
}

const follows: NonNullable<FakeAction["follow"]> = ({ name }, _request, follower) => {
  followers.set(name, follower);
  return () => void followers.delete(name);
};

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
  database = createMemoryDatabase({ now: () => new Date() });
  store = database.connect("me");
  looked = 0;
  shows = () => running("1 of 2");
  followers.clear();
  errors = [];
});
afterEach(async () => {
  await looks[Symbol.asyncDispose]();
  vi.useRealTimers();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

async function sent(part: Partial<OperationRecord> = {}): Promise<OperationRecord> {
  const one = record({ state: "SENT", owner: "me", blocks: false, updateTime: Date.now(), ...part });
  await store.insert([one], { event: "accepted" });
  return one;
}
const now = ({ name }: OperationRecord) => database.operations.get(name);

describe("looking", () => {
  it("begins when it is told to, and writes nothing where nothing is new", async () => {
    start();
    const one = await sent({ progress: "1 of 2" });
    looks.adopt(one, 500);
    await pass(499);
    expect(looked).toBe(0);
    await pass(1_001);
    expect(looked).toBe(11);
    expect(now(one)).toEqual(one);
  });

  it("writes progress once a second at most, and the end at once", async () => {
    start();
    const one = await sent();
    let step = 0;
    shows = () => running(`${++step} of 99`);
    looks.adopt(one, 0);
    await pass(3_050);
    expect(looked).toBeGreaterThan(25);
    expect(now(one)?.version).toBe(4);
    shows = () => succeeded;
    await pass(100);
    expect(now(one)).toMatchObject({ state: "SUCCEEDED", version: 5 });
    await pass(60_000);
    expect(looked).toBeLessThan(40);
  });

  it("goes on from what somebody else has written meanwhile", async () => {
    start();
    const one = await sent();
    looks.adopt(one, 0);
    await store.change(one, { cancelRequested: true }, { event: "cancel requested" });
    shows = () => succeeded;
    await pass(10);
    expect(now(one)).toMatchObject({ state: "SUCCEEDED", cancelRequested: true });
  });

  it("leaves alone what belongs to another replica", async () => {
    start();
    const [mine, theirs] = [await sent(), await sent()];
    for (const one of [mine, theirs]) looks.adopt(one, 100);
    await pass(50);
    looks.compare([mine], performance.now());
    await pass(50);
    expect(looked).toBe(1);
    looks.adopt({ ...theirs, owner: "another" }, 0);
    await pass(10);
    expect(looked).toBe(1);
  });

  it("does not drop what was adopted after the sweep had begun", async () => {
    start();
    const begun = performance.now();
    await pass(1);
    looks.adopt(await sent(), 100);
    looks.compare([], begun);
    await pass(100);
    expect(looked).toBe(1);
  });

  it("takes on what a sweep found, one after the other", async () => {
    start();
    const all = [await sent(), await sent(), await sent()];
    looks.compare(all, performance.now());
    await pass(9);
    expect(looked).toBe(1);
    await pass(11);
    expect(looked).toBe(3);
  });

  it("is repeated when it failed, or the store did", async () => {
    start();
    const one = await sent();
    shows = () => {
      throw new Error("no answer");
    };
    looks.adopt(one, 0);
    await pass(10);
    expect(errors).toEqual(["Error: no answer"]);
    shows = () => succeeded;
    await pass(2_000);
    expect(now(one)?.state).toBe("SUCCEEDED");
  });
});

describe("following", () => {
  it("takes the place of looking, and is ended with the operation", async () => {
    start(follows);
    const one = await sent();
    looks.adopt(one, 500);
    await pass(500);
    followers.get(one.name)?.seen(running("1 of 2"));
    await pass(600_000);
    expect([looked, now(one)?.progress]).toEqual([0, "1 of 2"]);
    followers.get(one.name)?.seen(succeeded);
    await pass(1);
    expect(now(one)?.state).toBe("SUCCEEDED");
    expect(followers.size).toBe(0);
  });

  it("writes progress once a second at most, and the last of it in the end", async () => {
    start(follows);
    const one = await sent();
    looks.adopt(one, 0);
    await pass(2_000);
    for (let step = 1; step <= 30; step++) {
      followers.get(one.name)?.seen(running(`${step} of 99`));
      await pass(50);
    }
    await pass(1_000);
    expect(now(one)?.progress).toBe("30 of 99");
    expect(now(one)?.version).toBeLessThanOrEqual(4);
    expect(looked).toBe(0);
  });

  it("looks once when nothing is shown, for what there was may have come before", async () => {
    start(follows);
    looks.adopt(await sent({ progress: "1 of 2" }), 0);
    await pass(9_999);
    expect(looked).toBe(0);
    await pass(600_000);
    expect(looked).toBe(1);
  });

  it("gives way to looking where nothing more is shown", async () => {
    start(follows);
    const one = await sent();
    looks.adopt(one, 0);
    await pass(1);
    followers.get(one.name)?.lost();
    await pass(1_000);
    expect(looked).toBeGreaterThan(5);
  });

  it("is for what was sent alone, and for where it can be done", async () => {
    start(() => undefined);
    looks.adopt(await sent(), 0);
    await pass(100);
    expect(looked).toBe(2);
  });

  it("begins once it is seen that what was unknown was sent", async () => {
    start(follows);
    const one = await sent({ state: "UNKNOWN" });
    looks.adopt(one, 0);
    await pass(50);
    expect([looked, now(one)?.state, followers.size]).toEqual([1, "SENT", 0]);
    await pass(100);
    expect([looked, followers.size]).toEqual([1, 1]);
  });
});

describe("looks that fail", () => {
  const refused = new Failure("VENDOR_PERMISSION_DENIED", "no");
  const throttled = (retryMs: number) => new Failure("THROTTLED", "too many", { details: [retryInfo(retryMs)] });
  const HOUR_MS = 3_600_000;

  /** How long it takes (ms) from each look to the next one. */
  async function waits(...seen: (Seen | Error)[]): Promise<number[]> {
    const times: number[] = [];
    start(undefined, { lookMs: 10_000 });
    shows = () => {
      const one = seen[times.length] ?? succeeded;
      times.push(performance.now());
      if (one instanceof Error) throw one;
      return one;
    };
    const one = await sent();
    looks.adopt(one, 0);
    while (now(one)?.state === "SENT") await pass(1_000);
    await looks[Symbol.asyncDispose]();
    return times.slice(1).map((time, at) => time - (times[at] ?? 0));
  }

  it("are no sooner repeated than others, and later each time, up to a bound", async () => {
    expect(await waits(...Array.from({ length: 8 }, () => refused))).toEqual([
      10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000,
    ]);
  });

  it("wait for as long as the vendor says", async () => {
    expect(await waits(throttled(60_000), throttled(60_000), throttled(400_000))).toEqual([60_000, 60_000, 400_000]);
    expect(await waits(throttled(15_000), throttled(15_000), throttled(15_000))).toEqual([15_000, 20_000, 40_000]);
    expect(await waits(throttled(1_000))).toEqual([10_000]);
    expect(await waits(throttled(99_999_000))).toEqual([3_600_000]);
  });

  it("begin anew after one that did not fail", async () => {
    const unclear: Seen = { kind: "unclear" };
    expect(await waits(refused, refused, unclear, refused)).toEqual([10_000, 20_000, 10_000, 10_000]);
  });

  it.each(["SENT", "UNKNOWN"] as const)("end what is %s, once nobody waits for it any longer", async (state) => {
    start(undefined, { age: () => performance.now(), timing: { settleMs: undefined, endsWithinMs: 2 * HOUR_MS } });
    shows = () => {
      throw refused;
    };
    const one = await sent({ state, blocks: true });
    looks.adopt(one, 0);
    await pass(2 * HOUR_MS - 1);
    expect(now(one)?.state).toBe(state);
    await pass(400_000);
    expect(now(one)).toMatchObject({ state: "UNRESOLVED", blocks: true });
    expect(parseFailure(now(one)?.error ?? "").outcome).toBe(state === "SENT" ? "applied" : "unknown");
  });

  it("are not needed for what is followed and says nothing: it is looked at when its time is over", async () => {
    start(follows, { age: () => performance.now(), timing: { settleMs: undefined, endsWithinMs: HOUR_MS } });
    const one = await sent();
    looks.adopt(one, 0);
    await pass(24 * HOUR_MS - 1);
    expect(now(one)?.state).toBe("SENT");
    expect(looked).toBe(1);
    await pass(20_000);
    expect(now(one)).toMatchObject({ state: "UNRESOLVED", blocks: false });
  });
});
