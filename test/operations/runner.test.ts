import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { resolveOperation } from "../../src/operations/rpc/mutations.ts";
import { createMemoryDatabase } from "../support/memory-store.ts";
import { failure, type Options, restart, type Started, startFake, web } from "./fake-server.ts";

const started: Started[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server[Symbol.asyncDispose]();
});
const start = async (options: Options = {}): Promise<Started> => {
  const server = await startFake(options);
  started.push(server);
  return server;
};

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
    const server = await start({
      slowMs: 1_000,
      at: (point) => (point === "permitted" ? sending.resolve() : undefined),
    });
    server.vendor.script("slow");
    const id = randomUUID();
    const first = restart(server, web(id));
    await sending.promise;
    const [name, joined] = await Promise.all([first, restart(server, web(id))]);
    expect(joined).toBe(name);
    expect(server.vendor.executions).toHaveLength(1);
  });

  it("is told at its deadline that what another call has not sent yet may still be applied", async () => {
    const held = Promise.withResolvers<void>();
    const accepted = Promise.withResolvers<void>();
    const server = await start({
      at: (point) => {
        if (point !== "before W2") return undefined;
        accepted.resolve();
        return held.promise;
      },
    });
    const id = randomUUID();
    const first = restart(server, web(id));
    await accepted.promise;
    const told = await failure(server.client.restart(web(id), { headers: { "connect-timeout-ms": "1000" } }));
    held.resolve();
    expect(told).toMatchObject({
      code: Code.DeadlineExceeded,
      reason: "OUTCOME_UNKNOWN",
      metadata: { outcome: "unknown" },
      operation: await first,
    });
  });

  it.each([0, 1])("leaves one that runs alone when caller %i of two at once goes away", async (who) => {
    const both = Promise.withResolvers<void>();
    let preparing = 0;
    const server = await start({
      slowMs: 2_000,
      prepare: async () => {
        if (++preparing === 2) both.resolve();
        await both.promise;
      },
    });
    server.vendor.script("slow");
    const id = randomUUID();
    const leaving = new AbortController();
    const calls = [0, 1].map((one) => restart(server, web(id), one === who ? { signal: leaving.signal } : {}));
    // Whoever of the two was first has it; the other one joins.
    await both.promise;
    await server.beats(1);
    leaving.abort();
    await Promise.allSettled([calls[who]]);
    await server.beats(3);
    const [record] = await server.list();
    expect(record?.state).toBe("SENDING");
    await expect(calls[1 - who]).resolves.toBe(record?.name);
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
    const server = await start({ jobMs: 0 });
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
    server.clock.skewMs += 1_000; // what has ended in this millisecond would be kept for another minute
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
    const server = await start({
      slowMs: 1_000,
      at: (point) => (point === "permitted" ? sending.resolve() : undefined),
    });
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
    const server = await start({ blocksUntil: "ended", jobMs: 1_000 });
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
    const server = await start({
      deadlineMs: 1_000,
      at: (point) => (point === "before W2" ? held.promise : undefined),
    });
    const refused = await failure(server.client.restart(web(randomUUID())));
    held.resolve();
    expect(refused).toMatchObject({ code: Code.DeadlineExceeded, reason: "DEADLINE_EXCEEDED" });
    const [accepted] = await server.list();
    await server.until(accepted?.name ?? "", "CANCELLED");
    expect(server.vendor.executions).toEqual([]);
  });

  it("does not stop what has been sent when it goes away", async () => {
    const leaving = new AbortController();
    const server = await start({ jobMs: 0, slowMs: 1_000 });
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
    const server = await start({ slowMs: 3_000, jobMs: 0, deadlineMs: 1_000 });
    server.vendor.script("slow");
    const refused = await failure(server.client.restart(web(randomUUID())));
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
      timing: { sendWindowMs: 100 },
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

describe("a call that is accepted and permitted by one write", () => {
  const prompt = (options: Options = {}) => start({ permitsAtOnce: true, ...options });

  it("is stored as being sent, with its evidence, before anything leaves", async () => {
    const stored: unknown[] = [];
    const server: Started = await prompt({
      at: async (point) => {
        if (point === "permitted") stored.push(...(await server.list()));
      },
    });
    const name = await restart(server, web(randomUUID()));
    const evidence = '{"attempt":1}';
    expect(stored).toMatchObject([{ name, state: "SENDING", version: 1, evidence, sendTime: expect.any(Number) }]);
    expect((await server.events(name)).slice(0, 2)).toEqual(["accepted: SENDING", "sent: SENT"]);
  });

  it.each(["alone", "shared"])("is answered once its outcome is stored, by a store that is %s", async (use) => {
    const held = Promise.withResolvers<void>();
    const database = createMemoryDatabase({ now: () => new Date() });
    const server = await prompt({
      open: async () => ({ ...database.connect("replica"), exclusive: use === "alone" }),
      at: (point) => (point === "after W3" ? held.promise : undefined),
    });
    let answered = false;
    const call = restart(server, web()).then((name) => {
      answered = true;
      return name;
    });
    while (![...database.operations.values()].some(({ state }) => state === "SENT")) await setTimeout(1);
    const early = answered;
    held.resolve(); // before it is judged: a server whose calls are held does not end
    await call;
    expect(early).toBe(false);
  });

  it("is one operation however often it is repeated meanwhile", async () => {
    const sending = Promise.withResolvers<void>();
    const server = await prompt({
      slowMs: 1_000,
      at: (point) => (point === "permitted" ? sending.resolve() : undefined),
    });
    server.vendor.script("slow");
    const id = randomUUID();
    const first = restart(server, web(id));
    const raced = restart(server, web(id));
    await sending.promise;
    const names = await Promise.all([first, raced, restart(server, web(id))]);
    expect(new Set(names).size).toBe(1);
    expect(server.vendor.executions).toHaveLength(1);
  });

  it("is refused while another one is on its way", async () => {
    const sending = Promise.withResolvers<void>();
    const server = await prompt({
      slowMs: 1_000,
      at: (point) => (point === "permitted" ? sending.resolve() : undefined),
    });
    server.vendor.script("slow");
    const first = restart(server, web());
    await sending.promise;
    const refused = await failure(server.client.restart(web()));
    const operation = await first;
    expect(refused).toMatchObject({ reason: "OPERATION_IN_PROGRESS", metadata: { operation }, operation: "" });
    expect(await server.list()).toHaveLength(1);
  });

  it.each(["before", "after"] as const)(
    "sends nothing when that is in doubt (%s its commit), for good",
    async (when) => {
      const server = await prompt({ settleMs: 3_600_000 });
      server.faults.insert = when;
      const id = randomUUID();
      expect(await failure(server.client.restart(web(id)))).toMatchObject({
        reason: "STORE_UNAVAILABLE",
        metadata: { outcome: "not_applied" },
      });
      server.faults.insert = undefined;
      const [record] = await server.list();
      expect(record === undefined).toBe(when === "before");
      if (record !== undefined) {
        // At once, and not after the time in which what was sent would show.
        await server.until(record.name, "CANCELLED");
        expect(await failure(server.client.restart(web(id)))).toMatchObject({ reason: "CANCELLED" });
      }
      expect(server.vendor.executions).toEqual([]);
      await restart(server, web(randomUUID()));
    },
  );

  it("stores nothing of one that fails before it asks for its permit", async () => {
    const server = await prompt({
      settleMs: 3_600_000,
      deadlineMs: 50,
      at: (point) => (point === "before W2" ? setTimeout(100) : undefined),
    });
    expect(await failure(server.client.restart(web(randomUUID())))).toMatchObject({ reason: "DEADLINE_EXCEEDED" });
    expect(server.vendor.executions).toEqual([]);
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

  it("is no reason to say of what was sent that it was not, neither to its caller nor to one who repeats the call", async () => {
    const server = await start({
      jobMs: 60_000,
      at: (point) => {
        server.faults.get = point === "after W3";
      },
    });
    server.vendor.script("no response"); // the caller waits for what only shows later
    const id = randomUUID();
    for (const call of ["first", "repeated"]) {
      const told = await failure(server.client.restart(web(id)));
      expect(told, call).toMatchObject({
        code: Code.Unknown,
        reason: "OUTCOME_UNKNOWN",
        metadata: { outcome: "unknown", operation: told.operation },
        retries: false,
      });
      expect(told.operation).not.toBe("");
    }
    expect(server.vendor.executions).toHaveLength(1);
    server.faults.get = false;
  });

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
    const server = await start({ jobMs: 0 });
    let doubts = 1;
    server.faults.change = ({ state }) => (state === "SUCCEEDED" && doubts-- > 0 ? "before" : undefined);
    const name = await restart(server, web(randomUUID()));
    await server.until(name, "SUCCEEDED");
    expect(doubts).toBe(-1);
  });
});

describe("looking for an outcome", () => {
  it("learns what the vendor answered though somebody else was faster to see it", async () => {
    const held = Promise.withResolvers<void>();
    const server = await start({
      jobMs: 60_000,
      at: (point) => (point === "after send" ? held.promise : undefined),
    });
    const call = restart(server, web(randomUUID()));
    while (server.vendor.executions.length === 0) await setTimeout(1);
    const [sending] = await server.list();
    if (sending === undefined) throw new Error("nothing was accepted");
    // As a replica does that takes this one for dead.
    const other = { owner: "another replica" };
    const unknown = await server.store.change(sending, { ...other, state: "UNKNOWN" }, { event: "outcome unknown" });
    if (unknown === undefined) throw new Error("this one was faster");
    await server.store.change(unknown, { state: "SENT", blocks: false }, { event: "seen" });
    held.resolve();
    await call;
    expect(await server.get(sending.name)).toMatchObject({ state: "SENT", vendorJob: "job-1", response: "{}" });
    expect((await server.events(sending.name)).slice(2)).toEqual([
      "outcome unknown: UNKNOWN",
      "seen: SENT",
      "sent: SENT",
    ]);
  });

  it("answers the call once a response has shown, where the vendor gave none", async () => {
    const server = await start({ jobMs: 60_000, blocksUntil: "ended" });
    server.vendor.script("no response");
    const name = await restart(server, web(randomUUID()));
    expect(await server.get(name)).toMatchObject({ state: "SENT", response: "{}", progress: "running" });
  });

  it("gives a restart up that did not show, after the time to settle and never before", async () => {
    let looks = 0;
    const server = await start({ settleMs: 1_000 });
    server.vendor.script("dropped");
    const find = server.vendor.find;
    Object.assign(server.vendor, {
      find: (name: string) => {
        looks++;
        return find(name);
      },
    });
    const id = randomUUID();
    const begun = performance.now();
    const { operation } = await failure(server.client.restart(web(id)));
    const record = await server.until(operation, "NOT_OBSERVED");
    expect(performance.now() - begun).toBeGreaterThan(950);
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

  it("writes nothing where it shows nothing new, however often it is done", async () => {
    let looks = 0;
    const server = await start({ jobMs: 60_000, againMs: 1 });
    const find = server.vendor.find;
    const { promise: often, resolve } = Promise.withResolvers<void>();
    Object.assign(server.vendor, {
      find: (name: string) => {
        if (++looks === 20) resolve();
        return find(name);
      },
    });
    const name = await restart(server, web(randomUUID()));
    await often;
    const record = await server.get(name);
    expect(record).toMatchObject({ state: "SENT", version: 3 + (record.progress === "" ? 0 : 1) });
  });

  it("leaves to an operator what was applied, and of whose end nothing tells", async () => {
    const server = await start({ endsWithinMs: 50, blocksUntil: "ended" });
    server.vendor.script("end unseen", "ok");
    const id = randomUUID();
    const name = await restart(server, web(id));
    const record = await server.until(name, "UNRESOLVED");
    expect(await failure(server.client.restart(web(randomUUID())))).toMatchObject({
      reason: "OPERATION_IN_PROGRESS",
      metadata: { operation: name, state: "UNRESOLVED" },
    });
    expect(await restart(server, web(id)), "the call was answered before").toBe(name);
    const verdict = { applied: true, note: "seen in the console", actor: "ann", now: Date.now };
    expect(await resolveOperation(server.store, record, verdict)).toMatchObject({ state: "SUCCEEDED", blocks: false });
    expect(await server.until(await restart(server, web(randomUUID())), "SUCCEEDED")).toBeDefined();
    expect(await server.events(name)).toEqual([
      "accepted: ACCEPTED",
      "permit: SENDING",
      "sent: SENT",
      "unresolved: UNRESOLVED",
      "resolved: SUCCEEDED",
    ]);
    expect(server.vendor.executions).toHaveLength(2);
  });

  it.each([3_600_000, -3_600_000])("does not mind that the wall clock jumps by %i ms", async (skewMs) => {
    const server = await start({ settleMs: 400, jobMs: 100 });
    server.vendor.script("dropped", "ok");
    const begun = performance.now();
    const lost = await failure(server.client.restart(web(randomUUID())));
    server.clock.skewMs = skewMs;
    expect((await server.until(lost.operation, "NOT_OBSERVED")).state).toBe("NOT_OBSERVED");
    expect(performance.now() - begun).toBeGreaterThan(350);
    const name = await restart(server, web(randomUUID()));
    server.clock.skewMs = 0;
    await server.until(name, "SUCCEEDED");
    expect(server.vendor.executions).toHaveLength(1);
  });
});
