import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { ErrorInfoSchema, ResourceInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { type Call, callKey, newCall, OPERATION_HEADER } from "../../src/core/call.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { interceptors } from "../../src/interceptors/index.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import type { Failpoint } from "../../src/operations/failpoint.ts";
import type { Change, OperationRecord } from "../../src/operations/record.ts";
import { createRunner, type Timing } from "../../src/operations/runner.ts";
import { IN_MEMORY, openSqliteStore } from "../../src/operations/sqlite/open.ts";
import { type Store, UncertainCommit } from "../../src/operations/store.ts";
import {
  createFakeAction,
  createFakeVendor,
  type FakeActionOptions,
  type VendorOptions,
} from "../support/fake-action.ts";

interface Options extends Omit<FakeActionOptions, "vendor" | "reach">, Omit<VendorOptions, "monotonic"> {
  readonly timing?: Partial<Timing>;
  /** Called at every failpoint, and at those of the action. */
  readonly at?: (point: Failpoint | "permitted" | "answered") => Promise<void> | void;
}

const parts: AsyncDisposable[] = [];
afterEach(async () => {
  for (const part of parts.splice(0).reverse()) await part[Symbol.asyncDispose]();
});

/** Restarts of a fake vendor, through all interceptors, with the embedded store in memory. */
async function start(options: Options = {}) {
  const clock = { skewMs: 0, aheadMs: 0 };
  const now = (): Date => new Date(Date.now() + clock.skewMs);
  const monotonic = (): number => performance.now() + clock.aheadMs;
  const kept = await openSqliteStore({ path: IN_MEMORY, replica: "replica", now, monotonic, warn: () => {} });
  const { store, faults, beats } = withFaults(kept);
  const vendor = createFakeVendor({ monotonic, ...options });
  const calls: Call[] = [];
  const background: Promise<unknown>[] = [];
  const health: boolean[] = [];
  const at = async (point: Failpoint | "permitted" | "answered"): Promise<void> => options.at?.(point);
  const action = createFakeAction({ ...options, vendor, reach: at });
  const later = (_call: Call, work: Promise<unknown>): void => {
    background.push(work.catch(() => {})); // judged by what is stored
  };
  const runner = createRunner({
    store,
    now,
    monotonic,
    newId: randomUUID,
    background: later,
    health: (available) => health.push(available),
    reach: at,
    timing: { beatMs: 10, firstLookMs: 5, sendWindowMs: 100, ...options.timing },
  });
  await runner.begin([action]);
  const transport = createRouterTransport(
    ({ service }) =>
      service(WorkloadService, { restart: (request, context) => runner.operations.run(action, request, context) }),
    {
      router: {
        interceptors: [
          (next) => (req) => {
            const call = newCall(randomUUID());
            calls.push(call);
            req.contextValues.set(callKey, call);
            return next(req);
          },
          ...interceptors({
            newId: randomUUID,
            shutdown: new AbortController().signal,
            deadline: { defaultMs: 60_000, maxMs: 600_000, abandoned: later },
            validator: newValidator(schemaOf([WorkloadService]).registry),
          }),
        ],
      },
    },
  );
  const client = createClient(WorkloadService, transport);
  parts.push(store, runner);
  const get = async (name: string): Promise<OperationRecord> => {
    const record = await kept.get(name);
    if (record === undefined) throw new Error(`there is no ${name}`);
    return record;
  };
  /** Waits until an operation is in one of these states. */
  const until = async (name: string, ...states: OperationState[]): Promise<OperationRecord> => {
    for (;;) {
      const { promise: changed, resolve } = Promise.withResolvers<void>();
      const unsubscribe = kept.subscribe(() => resolve());
      const record = await get(name);
      if (!states.includes(record.state)) await changed;
      unsubscribe();
      if (states.includes(record.state)) return record;
    }
  };
  const list = () => kept.list({ where: [], limit: 100 });
  const events = async (name: string) => (await kept.audit(name)).map(({ event, to }) => `${event}: ${to}`);
  return { client, store: kept, faults, beats, vendor, calls, background, health, clock, until, get, list, events };
}

/** What a test has the store do: reject before or after it has committed. */
interface Faults {
  insert: "before" | "after" | undefined;
  /** Which changes fail. */
  change: ((change: Change) => "before" | "after" | undefined) | undefined;
}

function withFaults(kept: Store) {
  const faults: Faults = { insert: undefined, change: undefined };
  let count = 0;
  let waiting: { until: number; resolve: () => void }[] = [];
  const away = (): never => {
    throw new UncertainCommit("the store is away");
  };
  const store: Store = {
    ...kept,
    insert: async (...args) => {
      const fault = faults.insert;
      if (fault === "before") away();
      const inserted = await kept.insert(...args);
      return fault === "after" ? away() : inserted;
    },
    change: async (before, change, event) => {
      const fault = faults.change?.(change);
      if (fault === "before") away();
      const changed = await kept.change(before, change, event);
      return fault === "after" ? away() : changed;
    },
    beat: async () => {
      count++;
      for (const { until, resolve } of waiting) if (count >= until) resolve();
      waiting = waiting.filter(({ until }) => count < until);
      return kept.beat();
    },
  };
  /** Waits until so many rounds of looking after operations have been made whole. */
  const beats = (more: number): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push({ until: count + more + 1, resolve });
    return promise;
  };
  return { store, faults, beats };
}

const REQUEST = { cluster: "one", group: "apps", version: "v1", resource: "deployments", namespace: "shop" };
const web = (requestId = "", part: { reason?: string; validateOnly?: boolean } = {}) => ({
  ...REQUEST,
  name: "web",
  requestId,
  ...part,
});

type Started = Awaited<ReturnType<typeof start>>;

/** Restarts, and answers the operation's name. */
async function restart({ client }: Started, ...[request, options]: Parameters<Started["client"]["restart"]>) {
  let name = "";
  await client.restart(request, {
    ...options,
    onHeader: (header) => {
      name = header.get(OPERATION_HEADER) ?? "";
    },
  });
  return name;
}

/** Why a call failed, as its caller sees it. */
async function failure(call: Promise<unknown>) {
  const error = ConnectError.from(
    await call.then(
      () => new Error("it did not fail"),
      (reason: unknown) => reason,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason,
    metadata: info?.metadata,
    operation: error.metadata.get(OPERATION_HEADER) ?? "",
    resources: error
      .findDetails(ResourceInfoSchema)
      .map(({ resourceType, resourceName }) => [resourceType, resourceName]),
    retries: error.findDetails(RetryInfoSchema).length > 0,
  };
}

describe("a repeated call", () => {
  it("is answered like the first one, by the same operation, and sends nothing", async () => {
    const server = await start();
    const id = randomUUID();
    const name = await restart(server, web(id));
    expect(name).toMatch(/^operations\/[0-9a-f-]{36}$/);
    expect(await restart(server, web(id))).toBe(name);
    await server.until(name, "SUCCEEDED");
    expect(await restart(server, web(id.toUpperCase()))).toBe(name);
    expect(server.vendor.executions).toHaveLength(1);
    expect(await server.events(name)).toEqual([
      "accepted: ACCEPTED",
      "permit: SENDING",
      "sent: SENT",
      "succeeded: SUCCEEDED",
    ]);
  });

  it("joins one that runs", async () => {
    const sending = Promise.withResolvers<void>();
    const server = await start({ at: (point) => (point === "permitted" ? sending.resolve() : undefined) });
    server.vendor.script("slow");
    const id = randomUUID();
    const first = restart(server, web(id));
    await sending.promise;
    const [name, joined] = await Promise.all([first, restart(server, web(id))]);
    expect(joined).toBe(name);
    expect(server.vendor.executions).toHaveLength(1);
  });

  it("leaves one that runs alone when its caller goes away, though both came at once", async () => {
    const both = Promise.withResolvers<void>();
    let preparing = 0;
    const server = await start({
      slowMs: 300,
      prepare: async () => {
        if (++preparing === 2) both.resolve();
        await both.promise;
      },
    });
    server.vendor.script("slow");
    const id = randomUUID();
    const leaving = new AbortController();
    const calls = [leaving.signal, undefined].map((signal) => restart(server, web(id), { ...(signal && { signal }) }));
    // Whoever of the two was first has it; the other one joins.
    await both.promise;
    await server.beats(1);
    leaving.abort();
    await Promise.allSettled([calls[0]]);
    await server.beats(3);
    const [record] = await server.list();
    expect(record?.state).toBe("SENDING");
    await expect(calls[1]).resolves.toBe(record?.name);
    expect(server.vendor.executions).toHaveLength(1);
  });

  it("fails as the first one did", async () => {
    const server = await start();
    server.vendor.script("refused");
    const id = randomUUID();
    const first = await failure(server.client.restart(web(id)));
    expect(first).toMatchObject({ code: Code.FailedPrecondition, reason: "TARGET_STATE_FORBIDS" });
    server.vendor.script("ok");
    expect(await failure(server.client.restart(web(id)))).toEqual(first);
    expect((await server.get(first.operation)).state).toBe("FAILED");
  });

  it("is refused with other parameters", async () => {
    const server = await start();
    const id = randomUUID();
    const name = await restart(server, web(id));
    expect(await failure(server.client.restart({ ...web(id), name: "other" }))).toEqual({
      code: Code.InvalidArgument,
      message: `request_id ${id} belongs to a call with other parameters, ${name}; use a new one for a new call`,
      reason: "REQUEST_ID_REUSED",
      metadata: { operation: name, outcome: "not_applied" },
      operation: "",
      resources: [["restartd.operation", name]],
      retries: false,
    });
  });

  it("is told of an unknown outcome, and later of what it was", async () => {
    const server = await start({ jobMs: 0, at: (point) => (point === "before W3" ? undefined : undefined) });
    server.vendor.script("reset");
    const id = randomUUID();
    const first = await failure(server.client.restart(web(id)));
    expect(first).toMatchObject({ code: Code.Unknown, reason: "OUTCOME_UNKNOWN" });
    await server.until(first.operation, "SUCCEEDED");
    expect(await server.events(first.operation)).toEqual([
      "accepted: ACCEPTED",
      "permit: SENDING",
      "outcome unknown: UNKNOWN",
      "seen: SENT",
      "succeeded: SUCCEEDED",
    ]);
    expect(await restart(server, web(id))).toBe(first.operation);
    expect(server.vendor.executions).toHaveLength(1);
  });

  it("runs each time without a request_id", async () => {
    const server = await start();
    expect(await restart(server, web())).not.toBe(await restart(server, web()));
    expect(server.vendor.executions).toHaveLength(2);
  });

  it("is answered by what is left of its operation", async () => {
    const server = await start({ jobMs: 0, timing: { retentionMs: 0 } });
    const [id, refused] = [randomUUID(), randomUUID()];
    const name = await restart(server, web(id));
    await server.until(name, "SUCCEEDED");
    server.vendor.script("refused");
    const first = await failure(server.client.restart(web(refused)));
    server.clock.aheadMs += 61_000;
    await server.beats(2);
    expect(await server.list()).toEqual([]);
    server.vendor.script("ok");
    expect(await restart(server, web(id))).toBe(name);
    expect(await failure(server.client.restart(web(refused)))).toEqual(first);
    expect((await failure(server.client.restart(web(id, { reason: "another one" })))).reason).toBe("REQUEST_ID_REUSED");
    expect(server.vendor.executions).toHaveLength(1);
  });
});

describe("another call on the same target", () => {
  it("is refused while the first one is on its way", async () => {
    const sending = Promise.withResolvers<void>();
    const server = await start({ at: (point) => (point === "permitted" ? sending.resolve() : undefined) });
    server.vendor.script("slow");
    const first = restart(server, web(randomUUID()));
    await sending.promise;
    const refused = await failure(server.client.restart(web(randomUUID())));
    const name = await first;
    expect(refused).toEqual({
      code: Code.Aborted,
      message: `fake/web is blocked by ${name}, SENDING for 0 s: wait until it has ended`,
      reason: "OPERATION_IN_PROGRESS",
      metadata: { operation: name, state: "SENDING", age_seconds: "0", outcome: "not_applied" },
      operation: "",
      resources: [["restartd.operation", name]],
      retries: false,
    });
    expect(await server.list()).toHaveLength(1);
  });

  it("runs as soon as the first one was applied, where that is enough", async () => {
    const server = await start({ jobMs: 60_000 });
    const name = await restart(server, web());
    expect(await server.get(name)).toMatchObject({ state: "SENT", blocks: false });
    await restart(server, web());
    expect(server.vendor.executions).toHaveLength(2);
  });

  it("waits for the end where that matters", async () => {
    const server = await start({ blocksUntil: "ended", jobMs: 50 });
    const name = await restart(server, web());
    expect(await failure(server.client.restart(web()))).toMatchObject({ reason: "OPERATION_IN_PROGRESS" });
    await server.until(name, "SUCCEEDED");
    await restart(server, web());
    expect(server.vendor.executions).toHaveLength(2);
  });
});

describe("a call that is not accepted", () => {
  it("stores nothing when it only asks", async () => {
    const server = await start();
    await server.client.restart(web(randomUUID(), { validateOnly: true }));
    expect(await server.list()).toEqual([]);
    expect(server.vendor.executions).toEqual([]);
  });

  it("stores nothing when a guard refuses it, and may come again", async () => {
    let refuses = true;
    const server = await start({
      prepare: async () => {
        if (refuses) throw new ConnectError("not now", Code.Canceled);
      },
    });
    const id = randomUUID();
    expect(await failure(server.client.restart(web(id)))).toMatchObject({ reason: "CANCELLED", operation: "" });
    expect(await server.list()).toEqual([]);
    refuses = false;
    await restart(server, web(id));
  });
});

describe("a caller who does not wait", () => {
  it("cancels what has not been sent when it goes away", async () => {
    const leaving = new AbortController();
    const server = await start({ at: (point) => (point === "after W2" ? leaving.abort() : undefined) });
    await failure(server.client.restart(web(randomUUID()), { signal: leaving.signal }));
    const [accepted] = await server.list();
    const record = await server.until(accepted?.name ?? "", "CANCELLED");
    expect(JSON.parse(record.error ?? "")).toMatchObject({
      code: Code.Canceled,
      message: "the call was cancelled before anything was sent",
    });
    expect(server.vendor.executions).toEqual([]);
    await server.beats(1);
    expect(server.calls[0]?.failure).toMatchObject({ reason: "CANCELLED", outcome: "not_applied" });
  });

  it("cancels what has not been sent at its deadline", async () => {
    const held = Promise.withResolvers<void>();
    const server = await start({ at: (point) => (point === "before W2" ? held.promise : undefined) });
    const refused = await failure(server.client.restart(web(randomUUID()), { timeoutMs: 50 }));
    expect(refused).toMatchObject({ code: Code.DeadlineExceeded, reason: "DEADLINE_EXCEEDED" });
    held.resolve();
    const [accepted] = await server.list();
    await server.until(accepted?.name ?? "", "CANCELLED");
    expect(server.vendor.executions).toEqual([]);
  });

  it("does not stop what has been sent when it goes away", async () => {
    const leaving = new AbortController();
    const server = await start({ jobMs: 0 });
    server.vendor.script("slow");
    const id = randomUUID();
    const call = failure(server.client.restart(web(id), { signal: leaving.signal }));
    while (server.vendor.executions.length === 0) await setTimeout(1);
    leaving.abort();
    await call;
    const [record] = await server.list();
    await server.until(record?.name ?? "", "SUCCEEDED");
    expect(await server.events(record?.name ?? "")).toContain("sent: SENT");
    expect(server.calls[0]?.failure).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
    expect(await restart(server, web(id))).toBe(record?.name);
  });

  it("is told at its deadline that what has been sent has no outcome yet", async () => {
    const server = await start({ slowMs: 200, jobMs: 0 });
    server.vendor.script("slow");
    const refused = await failure(server.client.restart(web(randomUUID()), { timeoutMs: 100 }));
    const [record] = await server.list();
    expect(refused).toMatchObject({
      code: Code.DeadlineExceeded,
      reason: "OUTCOME_UNKNOWN",
      message: `the request for fake/web may have been applied; ${record?.name} tells when that is known, and it is not sent again`,
      metadata: { operation: record?.name, outcome: "unknown" },
    });
    await server.until(record?.name ?? "", "SUCCEEDED");
  });
});

describe("a permit", () => {
  it("is good for a short time alone", async () => {
    const server: Started = await start({
      at: (point) => {
        if (point === "permitted") server.clock.aheadMs += 101;
      },
    });
    const refused = await failure(server.client.restart(web(randomUUID())));
    expect(refused).toMatchObject({
      code: Code.DeadlineExceeded,
      reason: "DEADLINE_EXCEEDED",
      message: "this server was held up for more than 100 ms before it could send; nothing was sent",
      metadata: { outcome: "not_applied" },
    });
    expect((await server.get(refused.operation)).state).toBe("CANCELLED");
    expect(server.vendor.executions).toEqual([]);
  });

  it("is asked for again after a request that was refused for sure", async () => {
    const server = await start();
    server.vendor.script("refused once");
    const name = await restart(server, web(randomUUID()));
    expect((await server.events(name)).slice(0, 4)).toEqual([
      "accepted: ACCEPTED",
      "permit: SENDING",
      "permit: SENDING",
      "sent: SENT",
    ]);
  });
});

describe("a store that is away", () => {
  const unavailable = {
    code: Code.Unavailable,
    reason: "STORE_UNAVAILABLE",
    message: "operations cannot be stored or read now, and without that nothing is sent",
    metadata: { outcome: "not_applied" },
    retries: true,
  };

  it("lets nothing be accepted", async () => {
    const server = await start();
    server.faults.insert = "before";
    const id = randomUUID();
    expect(await failure(server.client.restart(web(id)))).toMatchObject(unavailable);
    expect(server.vendor.executions).toEqual([]);
    server.faults.insert = undefined;
    await restart(server, web(id));
  });

  it("leaves nothing behind that runs later when an acceptance is in doubt", async () => {
    const server = await start();
    server.faults.insert = "after";
    const id = randomUUID();
    expect(await failure(server.client.restart(web(id)))).toMatchObject(unavailable);
    server.faults.insert = undefined;
    const [record] = await server.list();
    await server.until(record?.name ?? "", "CANCELLED");
    expect(await failure(server.client.restart(web(id)))).toMatchObject({
      reason: "CANCELLED",
      operation: record?.name,
    });
    expect(server.vendor.executions).toEqual([]);
  });

  it.each(["before", "after"] as const)(
    "lets nothing be sent when a permit is in doubt (%s its commit)",
    async (when) => {
      const server = await start();
      server.faults.change = ({ state }) => (state === "SENDING" ? when : undefined);
      const id = randomUUID();
      const refused = await failure(server.client.restart(web(id)));
      expect(refused).toMatchObject(unavailable);
      expect(server.vendor.executions).toEqual([]);
      server.faults.change = undefined;
      expect(await server.get(refused.operation)).toMatchObject({ blocks: false });
      expect(await failure(server.client.restart(web(id)))).toMatchObject({ metadata: { outcome: "not_applied" } });
      expect(server.vendor.executions).toEqual([]);
    },
  );

  it("gets the outcome later, and its caller does not wait for that", async () => {
    const server = await start({ jobMs: 0 });
    let away = true;
    server.faults.change = ({ state }) => (away && state !== "SENDING" ? "before" : undefined);
    const name = await restart(server, web(randomUUID()));
    expect((await server.get(name)).state).toBe("SENDING");
    // A round in between must not take it for an orphan.
    await server.beats(2);
    away = false;
    await server.until(name, "SUCCEEDED");
    expect((await server.events(name)).slice(1, 3)).toEqual(["permit: SENDING", "sent: SENT"]);
  });

  it("records an outcome once when its commit is in doubt", async () => {
    const server = await start({ jobMs: 0 });
    let doubts = 1;
    server.faults.change = ({ state }) => (state === "SENT" && doubts-- > 0 ? "after" : undefined);
    const name = await restart(server, web(randomUUID()));
    await server.until(name, "SUCCEEDED");
    expect((await server.events(name)).filter((event) => event === "sent: SENT")).toHaveLength(1);
  });

  it("does not forget what has to be looked at", async () => {
    const server = await start({ jobMs: 0, timing: { forgottenMs: 50 } });
    let doubts = 1;
    server.faults.change = ({ state }) => (state === "SUCCEEDED" && doubts-- > 0 ? "before" : undefined);
    const name = await restart(server, web(randomUUID()));
    await server.until(name, "SUCCEEDED");
    expect(doubts).toBe(-1);
  });
});

describe("looking for an outcome", () => {
  it("answers the call once a response has shown, where the vendor gave none", async () => {
    const server = await start({ jobMs: 60_000, blocksUntil: "ended" });
    server.vendor.script("no response");
    const name = await restart(server, web(randomUUID()));
    expect(await server.get(name)).toMatchObject({ state: "SENT", response: "{}", progress: "running" });
  });

  it("gives a restart up that did not show, after the time to settle and never before", async () => {
    let looks = 0;
    const server = await start({ settleMs: 500, timing: { forgottenMs: 10 } });
    server.vendor.script("dropped");
    const find = server.vendor.find;
    Object.assign(server.vendor, { find: (name: string) => (looks++, find(name)) });
    const id = randomUUID();
    const { operation } = await failure(server.client.restart(web(id)));
    const begun = performance.now();
    const record = await server.until(operation, "NOT_OBSERVED");
    expect(performance.now() - begun).toBeGreaterThan(450);
    expect(looks).toBeGreaterThan(2);
    expect(record.blocks).toBe(false);
    expect(await failure(server.client.restart(web(id)))).toMatchObject({
      code: Code.Aborted,
      reason: "RESTART_NOT_OBSERVED",
      message:
        "fake/web shows no trace of the request: it was not applied and is not sent again; use a new request_id to try again",
      metadata: { outcome: "not_applied" },
    });
  });

  it("keeps the target blocked when nobody can tell", async () => {
    const server = await start({ settleMs: 0, authoritative: false });
    server.vendor.script("reset");
    const id = randomUUID();
    const { operation } = await failure(server.client.restart(web(id)));
    await server.until(operation, "UNRESOLVED");
    expect(await failure(server.client.restart(web(randomUUID())))).toMatchObject({
      reason: "OPERATION_IN_PROGRESS",
      metadata: { operation, state: "UNRESOLVED" },
    });
    expect(await failure(server.client.restart(web(id)))).toMatchObject({
      code: Code.Unknown,
      reason: "OUTCOME_UNRESOLVED",
      message: `nothing shows whether the request for fake/web was applied; the target stays blocked until an operator resolves ${operation}`,
      metadata: { operation, outcome: "unknown" },
    });
    expect(server.vendor.executions).toHaveLength(1);
  });

  it.each([3_600_000, -3_600_000])("does not mind that the wall clock jumps by %i ms", async (skewMs) => {
    const server = await start({ settleMs: 400, jobMs: 100 });
    server.vendor.script("dropped", "ok");
    const lost = await failure(server.client.restart(web(randomUUID())));
    server.clock.skewMs = skewMs;
    const begun = performance.now();
    expect((await server.until(lost.operation, "NOT_OBSERVED")).state).toBe("NOT_OBSERVED");
    expect(performance.now() - begun).toBeGreaterThan(350);
    const name = await restart(server, web(randomUUID()));
    server.clock.skewMs = 0;
    await server.until(name, "SUCCEEDED");
    expect(server.vendor.executions).toHaveLength(1);
  });
});
