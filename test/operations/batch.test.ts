import { randomUUID } from "node:crypto";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, describe, expect, it } from "vitest";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import { InstanceService } from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { OPERATION_HEADER } from "../../src/core/call.ts";
import { Failure } from "../../src/core/errors.ts";
import { ANONYMOUS } from "../../src/core/principal.ts";
import { cancelOperation, deleteOperation, resolveOperation } from "../../src/operations/rpc/mutations.ts";
import { presentOperation } from "../../src/operations/rpc/present.ts";
import { ENDED } from "../../src/operations/store/record.ts";
import { createMemoryDatabase } from "../support/memory-store.ts";
import { failure, type Options, type Started, startFake } from "./fake-server.ts";

const STORES: Readonly<Record<string, NonNullable<Options["open"]> | undefined>> = {
  SQLite: undefined,
  memory: async ({ now }) => createMemoryDatabase({ now }).connect("replica"),
};

const started: Started[] = [];
afterEach(async () => {
  for (const server of started.splice(0)) await server[Symbol.asyncDispose]();
});

const ids = (...instanceIds: string[]) => ({ projectId: "p", instanceIds, acknowledgeDataLoss: true });

type Request = Parameters<Started["instances"]["restartInstances"]>[0];

/** Calls, and answers the parent's name and a line for each item. */
async function restartAll({ instances }: Started, request: Request, signal?: AbortSignal) {
  let name = "";
  const { results } = await instances.restartInstances(request, {
    ...(signal && { signal }),
    onHeader: (header) => {
      name = header.get(OPERATION_HEADER) ?? "";
    },
  });
  return {
    name,
    results: results.map(({ instanceId, result, error }) => line(instanceId, result, error)),
    all: results,
  };
}

const line = (id: string, result: string, error: Status | undefined): string =>
  [id, result, ...(error ? [reasonOf(error)] : [])].join(" ");

const reasonOf = ({ details }: Status): string | undefined => {
  const [info] = details;
  return info && anyUnpack(info, ErrorInfoSchema)?.reason;
};

/** What a failed call says of its items. */
async function itemsOf(call: Promise<unknown>): Promise<(string | undefined)[]> {
  const error = ConnectError.from(await call.catch((reason: unknown) => reason));
  return error.findDetails(StatusSchema).map(reasonOf);
}

const parts = async ({ store }: Started, name: string) =>
  (await store.children(name)).map(({ target, state, blocks }) => `${target} ${state}${blocks ? " blocking" : ""}`);

describe.each(Object.entries(STORES))("a call about several targets, on %s", (_, open) => {
  const start = async (options: Options = {}): Promise<Started> => {
    const server = await startFake({ blocksUntil: "ended", ...(open && { open }), ...options });
    started.push(server);
    return server;
  };

  describe("each with a send of its own", () => {
    it("is answered with one result each, and its operation ends when theirs have", async () => {
      const server = await start();
      const id = randomUUID();
      const { name, results, all } = await restartAll(server, { ...ids("a", "b", "c"), requestId: id, reason: "why" });
      expect(results).toEqual(["a success", "b success", "c success"]);
      const children = await server.store.children(name);
      expect(all.map(({ operation }) => operation)).toEqual(children.map((child) => child.name));
      expect(children).toMatchObject(
        ["a", "b", "c"].map((one) => ({ target: `fake/${one}`, parent: name, requestId: undefined, reason: "why" })),
      );
      const whole = await server.until(name, "SUCCEEDED");
      expect(whole).toMatchObject({ target: "projects/p", requestId: id, blocks: false, progress: "3 SUCCEEDED" });
      expect(whole.sendTime).toBe(Math.min(...children.map(({ sendTime }) => sendTime ?? 0)));
      expect((await server.events(name)).slice(0, 3)).toEqual([
        "accepted: ACCEPTED",
        "sending parts: SENDING",
        "sent: SENT",
      ]);
      expect(server.vendor.executions.map(({ target }) => target).sort()).toEqual(["fake/a", "fake/b", "fake/c"]);
      const { result } = presentOperation(whole, () => InstanceService.method.restartInstances);
      expect(result.case).toBe("response");
    });

    it("is accepted, the whole and each part, with what is known of its caller", async () => {
      const principal = { ...ANONYMOUS, id: "okta:ann", authenticator: "okta", username: "ann", credential: "jti 7" };
      const server = await start({ principal });
      const { name } = await restartAll(server, ids("a", "b"));
      const all = [name, ...(await server.store.children(name)).map((child) => child.name)];
      for (const one of all) {
        const [accepted] = await server.store.audit(one);
        expect(accepted).toMatchObject({ event: "accepted", actor: "okta:ann" });
        expect(JSON.parse(accepted?.identity ?? "")).toEqual({ authenticator: "okta", credential: "jti 7" });
      }
    });

    it("sends eight at a time", async () => {
      let now = 0;
      let most = 0;
      const eight = Promise.withResolvers<void>();
      const server = await start({
        slowMs: 20,
        at: async (point) => {
          if (point === "answered") now--;
          if (point !== "permitted") return;
          most = Math.max(most, ++now);
          if (now === 8) eight.resolve();
          await eight.promise; // the first ones are not answered before there are as many as there may be
        },
      });
      server.vendor.script("slow");
      const names = Array.from({ length: 20 }, (_, at) => `i${at}`);
      const { results } = await restartAll(server, ids(...names));
      expect(results).toEqual(names.map((one) => `${one} success`));
      expect(most).toBe(8);
    });

    it("answers OK with what failed when only some did", async () => {
      const server = await start();
      server.vendor.scriptFor("fake/b", "refused");
      server.vendor.scriptFor("fake/c", "reset");
      server.vendor.scriptFor("fake/d", "job fails");
      server.vendor.scriptFor("fake/e", "no response");
      const id = randomUUID();
      const request = { ...ids("a", "b", "c", "d", "e"), requestId: id };
      const { name, results } = await restartAll(server, request);
      expect(results).toEqual([
        "a success",
        "b failed TARGET_STATE_FORBIDS",
        "c failed OUTCOME_UNKNOWN",
        "d success",
        "e success",
      ]);
      expect(await server.until(name, "SUCCEEDED")).toMatchObject({ progress: "3 SUCCEEDED, 2 FAILED" });
      // Later callers get what is known then.
      expect(await restartAll(server, request)).toMatchObject({
        name,
        results: ["a success", "b failed TARGET_STATE_FORBIDS", "c success", "d failed VENDOR_JOB_FAILED", "e success"],
      });
      expect(server.vendor.executions).toHaveLength(4);
    });

    it("fails with what each one failed with when all did", async () => {
      const server = await start();
      server.vendor.script("refused");
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const first = await failure(server.instances.restartInstances(request));
      expect(first).toMatchObject({
        code: Code.FailedPrecondition,
        reason: "TARGET_STATE_FORBIDS",
        metadata: { outcome: "not_applied" },
      });
      const whole = await server.until(first.operation, "FAILED");
      expect(await parts(server, whole.name)).toEqual(["fake/a FAILED", "fake/b FAILED"]);
      server.vendor.script("ok");
      expect(await failure(server.instances.restartInstances(request))).toEqual(first);
      expect(await itemsOf(server.instances.restartInstances(request))).toEqual(Array(2).fill("TARGET_STATE_FORBIDS"));
      expect(server.vendor.executions).toEqual([]);
    });

    it("is UNKNOWN while an outcome is, and ends with what is found", async () => {
      const server = await start({ settleMs: 2_000 });
      server.vendor.script("dropped");
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const unknown = await failure(server.instances.restartInstances(request));
      expect(unknown).toMatchObject({
        code: Code.Unknown,
        reason: "OUTCOME_UNKNOWN",
        metadata: { outcome: "unknown" },
      });
      expect(await server.get(unknown.operation)).toMatchObject({ state: "UNKNOWN", endTime: undefined });
      expect(await failure(server.instances.restartInstances(request))).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
      await server.until(unknown.operation, "NOT_OBSERVED");
      expect(await failure(server.instances.restartInstances(request))).toMatchObject({
        reason: "RESTART_NOT_OBSERVED",
        metadata: { outcome: "not_applied" },
      });
    });
  });

  describe("of which some cannot be sent", () => {
    const busy = (id: string) =>
      id.startsWith("busy") ? new Failure("TARGET_STATE_FORBIDS", "the instance is busy") : undefined;

    it("sends the others", async () => {
      const server = await start({ guard: busy });
      const request = { ...ids("busy", "a"), requestId: randomUUID() };
      const { name, results, all } = await restartAll(server, request);
      expect(results).toEqual(["busy failed TARGET_STATE_FORBIDS", "a success"]);
      expect(await server.events(all[0]?.operation ?? "")).toEqual(["refused: FAILED"]);
      await server.until(name, "SUCCEEDED");
      expect((await restartAll(server, request)).results).toEqual(results);
      expect(server.vendor.executions).toMatchObject([{ target: "fake/a" }]);
    });

    it("stores nothing when none can, and may come again", async () => {
      let refuses = true;
      const server = await start({ guard: (id) => (refuses ? busy(id) : undefined) });
      const request = { ...ids("busy1", "busy2"), requestId: randomUUID() };
      expect(await failure(server.instances.restartInstances(request))).toMatchObject({
        reason: "TARGET_STATE_FORBIDS",
        operation: "",
      });
      expect(await server.list()).toEqual([]);
      refuses = false;
      expect((await restartAll(server, request)).results).toEqual(["busy1 success", "busy2 success"]);
    });

    it("stores nothing when it is refused as a whole", async () => {
      const server = await start({
        prepare: async () => {
          throw new Failure("DATA_LOSS_NOT_ACKNOWLEDGED", "data would be lost");
        },
      });
      expect(await failure(server.instances.restartInstances(ids("a", "b")))).toMatchObject({
        reason: "DATA_LOSS_NOT_ACKNOWLEDGED",
        operation: "",
      });
      expect(await server.list()).toEqual([]);
    });

    it("says so when it only asks, and stores nothing", async () => {
      const server = await start({ guard: busy });
      const some = await restartAll(server, { ...ids("busy", "a"), requestId: randomUUID(), validateOnly: true });
      expect(some).toMatchObject({ name: "", results: ["busy failed TARGET_STATE_FORBIDS", "a success"] });
      expect(some.all.map(({ operation }) => operation)).toEqual(["", ""]);
      const none = server.instances.restartInstances({ ...ids("busy1"), validateOnly: true });
      expect(await failure(none)).toMatchObject({ reason: "TARGET_STATE_FORBIDS" });
      expect(await server.list()).toEqual([]);
      expect(server.vendor.executions).toEqual([]);
    });

    it("fails those that another operation blocks, which stay what they are", async () => {
      const server = await start({ jobMs: 60_000 });
      const { all } = await restartAll(server, ids("a"));
      const blocking = all[0]?.operation;
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const { name, results, all: second } = await restartAll(server, request);
      expect(results).toEqual(["a failed OPERATION_IN_PROGRESS", "b success"]);
      const [info] = second[0]?.error?.details ?? [];
      expect(info && anyUnpack(info, ErrorInfoSchema)?.metadata).toMatchObject({ operation: blocking });
      expect(await parts(server, name)).toEqual(["fake/a FAILED", "fake/b SENT blocking"]);
      expect((await restartAll(server, request)).results).toEqual(results);
      expect(server.vendor.executions.map(({ target }) => target)).toEqual(["fake/a", "fake/b"]);
    });

    it("stores nothing when all are blocked, and may come again", async () => {
      const server = await start({ jobMs: 1_000 });
      const first = await restartAll(server, ids("a"));
      const request = { ...ids("a"), requestId: randomUUID() };
      expect(await failure(server.instances.restartInstances(request))).toMatchObject({
        code: Code.Aborted,
        reason: "OPERATION_IN_PROGRESS",
        operation: "",
      });
      await server.until(first.name, "SUCCEEDED");
      expect((await restartAll(server, request)).results).toEqual(["a success"]);
    });
  });

  describe("that is repeated", () => {
    it("joins one that runs, and sends nothing", async () => {
      const sending = Promise.withResolvers<void>();
      const server = await start({
        slowMs: 1_000,
        at: (point) => (point === "permitted" ? sending.resolve() : undefined),
      });
      server.vendor.script("slow");
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const first = restartAll(server, request);
      await sending.promise;
      const [one, joined] = await Promise.all([first, restartAll(server, request)]);
      expect(joined).toEqual(one);
      expect(server.vendor.executions).toHaveLength(2);
    });

    it("runs once when two come at the same time", async () => {
      const both = Promise.withResolvers<void>();
      let preparing = 0;
      const server = await start({
        prepare: async () => {
          if (++preparing === 2) both.resolve();
          await both.promise;
        },
      });
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const [one, other] = await Promise.all([restartAll(server, request), restartAll(server, request)]);
      expect(other).toEqual(one);
      expect(server.vendor.executions).toHaveLength(2);
    });

    it("is refused with other parameters", async () => {
      const server = await start();
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const { name } = await restartAll(server, request);
      const other = server.instances.restartInstances({ ...request, instanceIds: ["b", "a"] });
      expect(await failure(other)).toMatchObject({ reason: "REQUEST_ID_REUSED", metadata: { operation: name } });
    });

    it("is answered by what is left of it", async () => {
      const server = await start({ jobMs: 0, timing: { retentionMs: 0 } });
      server.vendor.scriptFor("fake/b", "refused");
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const { name, results } = await restartAll(server, request);
      await server.until(name, "SUCCEEDED");
      server.clock.skewMs += 1_000; // what has ended in this millisecond would be kept for another minute
      server.clock.aheadMs += 61_000;
      await server.beats(2);
      expect(await server.list()).toEqual([]);
      expect(await restartAll(server, request)).toMatchObject({ name, results });
      expect(server.vendor.executions).toHaveLength(1);
    });
  });

  describe("whose caller does not wait", () => {
    it("cancels what has not been sent, and keeps on with what has", async () => {
      const leaving = new AbortController();
      const server = await start({ jobMs: 0, slowMs: 1_000 });
      const nine = Array.from({ length: 9 }, (_, at) => `i${at}`);
      for (const id of nine) server.vendor.scriptFor(`fake/${id}`, "slow");
      const request = { ...ids(...nine), requestId: randomUUID() };
      const call = failure(server.instances.restartInstances(request, { signal: leaving.signal }));
      while (server.vendor.executions.length < 8) await new Promise((resolve) => setTimeout(resolve, 1));
      leaving.abort();
      await call;
      const [whole] = (await server.list()).filter(({ parent }) => parent === undefined);
      await server.until(whole?.name ?? "", "SUCCEEDED");
      expect(await parts(server, whole?.name ?? "")).toEqual([
        ...nine.slice(0, 8).map((id) => `fake/${id} SUCCEEDED`),
        "fake/i8 CANCELLED",
      ]);
      expect(server.calls[0]?.failure).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      expect((await restartAll(server, request)).results[8]).toBe("i8 failed CANCELLED");
      expect(server.vendor.executions).toHaveLength(8);
    });

    it("cancels everything at its deadline when nothing has been sent", async () => {
      const held = Promise.withResolvers<void>();
      const server = await start({
        deadlineMs: 1_000,
        at: (point) => (point === "before W2" ? held.promise : undefined),
      });
      const refused = await failure(server.instances.restartInstances(ids("a", "b")));
      held.resolve();
      expect(refused).toMatchObject({ code: Code.DeadlineExceeded, metadata: { outcome: "not_applied" } });
      const [whole] = (await server.list()).filter(({ parent }) => parent === undefined);
      await server.until(whole?.name ?? "", "CANCELLED");
      expect(server.vendor.executions).toEqual([]);
    });
  });

  describe("that somebody", () => {
    const judge = { actor: "somebody", now: () => Date.now() };

    it("cancels sends nothing more", async () => {
      const held = Promise.withResolvers<void>();
      const accepted = Promise.withResolvers<void>();
      const server = await start({
        at: (point) => {
          if (point !== "after W1") return undefined;
          accepted.resolve();
          return held.promise;
        },
      });
      const call = failure(server.instances.restartInstances(ids("a", "b")));
      await accepted.promise;
      const [whole] = (await server.list()).filter(({ parent }) => parent === undefined);
      if (whole === undefined) throw new Error("nothing was accepted");
      expect(await cancelOperation(server.store, whole, judge)).toMatchObject({ state: "CANCELLED" });
      held.resolve();
      expect(await call).toMatchObject({ reason: "CANCELLED", operation: whole.name });
      expect(await parts(server, whole.name)).toEqual(["fake/a CANCELLED", "fake/b CANCELLED"]);
      expect(server.vendor.executions).toEqual([]);
    });

    it("resolves part by part ends with the last of them", async () => {
      const server = await start({ settleMs: 0, authoritative: false });
      server.vendor.script("reset");
      server.vendor.scriptFor("fake/c", "done");
      const request = { ...ids("a", "b", "c"), requestId: randomUUID() };
      const { name, all } = await restartAll(server, request);
      const whole = await server.until(name, "UNRESOLVED");
      const open = all.slice(0, 2).map(({ operation }) => operation);
      const { result } = presentOperation(whole, () => InstanceService.method.restartInstances);
      expect(result).toMatchObject({
        case: "error",
        value: {
          code: Code.Unknown,
          message: `nothing shows whether 2 of the 3 requests for projects/p were applied; their targets stay blocked until an operator resolves ${open.join(", ")}`,
        },
      });
      const resolve = async (one: string, applied: boolean) => {
        const record = await resolveOperation(server.store, await server.get(one), { ...judge, applied, note: "seen" });
        await server.runner.rollUp(record.parent ?? record.name);
        return (await server.get(name)).state;
      };
      await expect(resolve(name, true)).rejects.toMatchObject({
        reason: "OPERATION_NOT_UNRESOLVED",
        message: `${name} is UNRESOLVED because parts of it are: resolve each of those, ${open.join(", ")}`,
      });
      await expect(deleteOperation(server.store, await server.get(all[2]?.operation ?? ""))).rejects.toMatchObject({
        reason: "OPERATION_NOT_FINISHED",
      });
      expect(await resolve(open[0] ?? "", true)).toBe("UNRESOLVED");
      expect(await resolve(open[1] ?? "", false)).toBe("SUCCEEDED");
      expect((await restartAll(server, request)).results).toEqual([
        "a success",
        "b failed RESTART_NOT_OBSERVED",
        "c success",
      ]);
      await deleteOperation(server.store, await server.get(name));
      expect(await server.list()).toEqual([]);
    });
  });

  describe("when the store is away", () => {
    it("lets nothing be accepted, and nothing be sent when the beginning is in doubt", async () => {
      const server = await start();
      server.faults.insert = "before";
      const refused = { code: Code.Unavailable, reason: "STORE_UNAVAILABLE", metadata: { outcome: "not_applied" } };
      expect(await failure(server.instances.restartInstances(ids("a", "b")))).toMatchObject(refused);
      server.faults.insert = undefined;
      for (const when of ["before", "after"] as const) {
        server.faults.change = ({ state }) => (state === "SENDING" ? when : undefined);
        const { operation, ...failed } = await failure(server.instances.restartInstances(ids("a", "b")));
        expect(failed).toMatchObject(refused);
        server.faults.change = undefined;
        await server.until(operation, "CANCELLED");
        expect(await parts(server, operation)).toEqual(["fake/a CANCELLED", "fake/b CANCELLED"]);
      }
      expect(server.vendor.executions).toEqual([]);
    });

    it("is no reason to say of what was sent that it was not", async () => {
      const server = await start({ jobMs: 60_000 });
      const request = { ...ids("a", "b"), requestId: randomUUID() };
      const { name } = await restartAll(server, request);
      server.faults.get = true;
      expect(await failure(server.instances.restartInstances(request))).toMatchObject({
        reason: "OUTCOME_UNKNOWN",
        metadata: { outcome: "unknown", operation: name },
        retries: false,
      });
      server.faults.get = false;
      expect((await restartAll(server, request)).results).toEqual(["a success", "b success"]);
      expect(server.vendor.executions).toHaveLength(2);
    });

    it("answers what was sent, and makes up for the rest later", async () => {
      const server = await start({ jobMs: 0, timing: { sendWindowMs: 100 } });
      let away = true;
      server.faults.change = ({ state }) => (away && state !== "SENDING" ? "before" : undefined);
      const { name, results } = await restartAll(server, ids("a", "b"));
      expect(results).toEqual(["a success", "b success"]);
      expect(await server.get(name)).toMatchObject({ state: "SENDING" });
      away = false;
      await server.until(name, "SUCCEEDED");
      expect((await server.store.children(name)).every(({ state }) => ENDED.has(state))).toBe(true);
    });
  });
});
