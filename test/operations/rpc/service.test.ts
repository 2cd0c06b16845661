import { randomUUID } from "node:crypto";
import { readdir, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { anyUnpack, durationFromMs } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Operation, Operations } from "../../../gen/google/longrunning/operations_pb.ts";
import {
  BadRequestSchema,
  HelpSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import {
  RestartMetadata_Outcome,
  RestartMetadata_State,
  RestartMetadataSchema,
} from "../../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../../gen/restart/operation/v1/operation_service_pb.ts";
import { Failure } from "../../../src/core/errors.ts";
import { schemaOf } from "../../../src/core/schema.ts";
import { interceptors } from "../../../src/interceptors/index.ts";
import { newValidator } from "../../../src/interceptors/validate.ts";
import { createOperationRoutes } from "../../../src/operations/rpc/service.ts";
import type { Store } from "../../../src/operations/store/store.ts";
import { summary } from "../../server/fixture.ts";
import { type Folder, temporaryFolder } from "../../support/folder.ts";
import { insert, METHOD, NOON, openStore, UNRESOLVED } from "../support.ts";

const { registry } = schemaOf([Operations, OperationService]);

let store: Store;
let folder: Folder;
let shutdown: AbortController;
beforeEach(async () => {
  store = await openStore();
  folder = await temporaryFolder();
  shutdown = new AbortController();
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** Clients of both services in memory, behind every interceptor. */
function serve(different: Partial<Store> = {}) {
  const routes = createOperationRoutes({
    store: { ...store, ...different },
    now: () => new Date(NOON + 1000),
    output: (method) => (method === METHOD ? WorkloadService.method.restart : undefined),
    shutdown: shutdown.signal,
    backup: { folder: folder.path },
  });
  const deadline = { defaultMs: 60_000, maxMs: 600_000, abandoned: () => {} };
  const router = {
    interceptors: interceptors({
      newId: randomUUID,
      shutdown: shutdown.signal,
      deadline,
      validator: newValidator(registry),
    }),
  };
  const transport = createRouterTransport(
    (connectRouter) => {
      for (const { register } of routes) register(connectRouter, { reads: {}, mutations: {} });
    },
    { router },
  );
  return { operations: createClient(Operations, transport), ours: createClient(OperationService, transport) };
}

const errorOf = async (work: Promise<unknown> | AsyncIterable<unknown>): Promise<ConnectError> => {
  try {
    if (Symbol.asyncIterator in work) for await (const _ of work);
    else await work;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it did not fail");
};

const stateOf = ({ metadata }: Operation) =>
  metadata &&
  RestartMetadataSchema.field.state.enum?.value[anyUnpack(metadata, RestartMetadataSchema)?.state ?? 0]?.name;

const PATIENT = { timeout: 60_000 };
const UNKNOWN = "operations/00000000-0000-4000-8000-000000000000";

describe("names", () => {
  const calls = (name: string) => {
    const { operations, ours } = serve();
    return [
      operations.getOperation({ name }),
      operations.waitOperation({ name }),
      operations.cancelOperation({ name }),
      operations.deleteOperation({ name }),
      ours.watchOperation({ name }),
      ours.resolveOperation({ name, outcome: RestartMetadata_Outcome.APPLIED }),
    ];
  };

  it("that nobody has are OPERATION_NOT_FOUND in every rpc", async () => {
    for (const call of calls(UNKNOWN)) {
      const error = await errorOf(call);
      expect(summary(error)).toMatchObject({ code: "not_found", reason: "OPERATION_NOT_FOUND" });
      expect(error.findDetails(ResourceInfoSchema)[0]).toMatchObject({
        resourceType: "restartd.operation",
        resourceName: UNKNOWN,
      });
    }
  });

  it.each(["", "operations/", "operations/x", "00000000-0000-4000-8000-000000000000", `${UNKNOWN}/x`])(
    "such as %j are INVALID_ARGUMENT in every rpc",
    async (name) => {
      for (const call of calls(name)) {
        const error = await errorOf(call);
        expect(summary(error)).toMatchObject({ code: "invalid_argument", reason: "INVALID_ARGUMENT" });
        expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("name");
      }
    },
  );
});

describe("a store that cannot be used", () => {
  it("is STORE_UNAVAILABLE with RetryInfo, and its own words stay inside", async () => {
    const { name } = await insert(store);
    const fail = () => Promise.reject(new Error("secret path"));
    const { operations, ours } = serve({ get: fail, list: fail });
    for (const call of [
      operations.getOperation({ name }),
      operations.listOperations({}),
      ours.watchOperation({ name }),
    ]) {
      const error = await errorOf(call);
      expect(summary(error)).toMatchObject({
        code: "unavailable",
        reason: "STORE_UNAVAILABLE",
        outcome: "not_applied",
      });
      expect(error.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds).toBe(1n);
      expect(error.message).not.toContain("secret");
    }
  });
});

describe("GetOperation", () => {
  it("answers the operation", async () => {
    const { name } = await insert(store, { state: "SUCCEEDED", endTime: NOON });
    const operation = await serve().operations.getOperation({ name });
    expect(operation).toMatchObject({ name, done: true, result: { case: "response" } });
    expect(stateOf(operation)).toBe("STATE_SUCCEEDED");
  });
});

describe("ListOperations", () => {
  const namesOf = async (request: Parameters<ReturnType<typeof serve>["operations"]["listOperations"]>[0]) => {
    const page = await serve().operations.listOperations(request);
    return [page.operations.map(({ name }) => name), page.nextPageToken] as const;
  };

  it("goes through the pages, newest first, each once, also where times are the same", async () => {
    const names: string[] = [];
    for (let index = 0; index < 7; index++) {
      names.push((await insert(store, { createTime: NOON + Math.floor(index / 3) })).name);
    }
    const all: string[] = [];
    const sizes: number[] = [];
    let token = "";
    do {
      const [page, next] = await namesOf({ name: "operations", pageSize: 3, pageToken: token });
      all.push(...page);
      sizes.push(page.length);
      token = next;
    } while (token !== "");
    expect(sizes).toEqual([3, 3, 1]);
    expect(all.toSorted()).toEqual(names.toSorted());
    expect(all[0]).toBe(names[6]);
    expect((await namesOf({ pageSize: 7 }))[1]).toBe("");
  });

  it("filters", async () => {
    const old = await insert(store, { createTime: NOON - 60_000, target: "a/b c" });
    const doubtful = await insert(store, { ...UNRESOLVED, principal: "ann" });
    await insert(store, { state: "SENT" });
    expect((await namesOf({ filter: "state = UNRESOLVED AND principal = ann" }))[0]).toEqual([doubtful.name]);
    expect((await namesOf({ filter: "create_time < 2026-01-31T12:00:00Z" }))[0]).toEqual([old.name]);
    expect((await namesOf({ filter: 'target = "a/b c"' }))[0]).toEqual([old.name]);
    expect((await namesOf({ filter: "state = FAILED" }))[0]).toEqual([]);
  });

  it.each([
    [{ filter: "state > SENT" }, "filter"],
    [{ pageSize: -1 }, "page_size"],
    [{ pageToken: "x" }, "page_token"],
    [{ name: "projects/p" }, "name"],
  ])("refuses %j", async (request, field) => {
    const error = await errorOf(serve().operations.listOperations(request));
    expect(summary(error)).toMatchObject({ code: "invalid_argument", reason: "INVALID_ARGUMENT" });
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations.map((violation) => violation.field)).toEqual([
      field,
    ]);
  });

  it("does not take one filter's token for another's, nor partial success", async () => {
    await insert(store);
    await insert(store);
    const [, pageToken] = await namesOf({ pageSize: 1 });
    const error = await errorOf(serve().operations.listOperations({ pageToken, filter: "state = SENT" }));
    expect(summary(error)).toMatchObject({ reason: "INVALID_ARGUMENT" });
    expect(summary(await errorOf(serve().operations.listOperations({ returnPartialSuccess: true })))).toMatchObject({
      code: "unimplemented",
    });
  });
});

describe("WaitOperation", () => {
  const SUCCEEDED = { state: "SUCCEEDED", blocks: false, endTime: NOON } as const;

  it("answers when it has ended, and at once when it had", async () => {
    const record = await insert(store);
    const waiting = serve().operations.waitOperation({ name: record.name });
    await delay(50);
    await store.change(record, SUCCEEDED, { event: "succeeded" });
    expect(await waiting).toMatchObject({ done: true });
    expect(await serve().operations.waitOperation({ name: record.name })).toMatchObject({ done: true });
  });

  it("looks again when it may not have been told of a change", async () => {
    const record = await insert(store);
    const listeners: ((name: string | undefined) => void)[] = [];
    const subscribe: Store["subscribe"] = (listener) => {
      listeners.push(listener);
      return () => {};
    };
    const waiting = serve({ subscribe }).operations.waitOperation({ name: record.name });
    await store.change(record, SUCCEEDED, { event: "succeeded" });
    for (const listener of listeners) listener(undefined);
    expect(await waiting).toMatchObject({ done: true });
  });

  it("answers the operation as it is when the time is over, or the deadline near", async () => {
    const { name } = await insert(store, { state: "SENT" });
    const { operations } = serve();
    for (const call of [
      operations.waitOperation({ name, timeout: durationFromMs(50) }),
      operations.waitOperation({ name, timeout: durationFromMs(0) }),
      operations.waitOperation({ name }, { timeoutMs: 400 }),
      operations.waitOperation({ name, timeout: durationFromMs(60_000) }, { timeoutMs: 400 }),
    ]) {
      const operation = await call;
      expect(operation.done).toBe(false);
      expect(stateOf(operation)).toBe("STATE_SENT");
    }
  });

  it("does not hold up a shutdown", async () => {
    const { name } = await insert(store);
    const waiting = serve().operations.waitOperation({ name });
    await delay(50);
    shutdown.abort(new Failure("SHUTTING_DOWN", "the server is shutting down"));
    expect(await waiting).toMatchObject({ done: false });
  });

  it("refuses a time before now", async () => {
    const { name } = await insert(store);
    const error = await errorOf(serve().operations.waitOperation({ name, timeout: durationFromMs(-1) }));
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations[0]?.field).toBe("timeout");
  });
});

describe("CancelOperation and DeleteOperation", () => {
  it("cancel what was not sent, then delete it", async () => {
    const { name } = await insert(store);
    const { operations } = serve();
    expect(summary(await errorOf(operations.deleteOperation({ name })))).toMatchObject({
      code: "failed_precondition",
      reason: "OPERATION_NOT_FINISHED",
    });
    await operations.cancelOperation({ name });
    await operations.cancelOperation({ name });
    expect(await operations.getOperation({ name })).toMatchObject({ result: { case: "error", value: { code: 1 } } });
    expect((await store.audit(name)).at(-1)).toMatchObject({ event: "cancelled", actor: "anonymous" });
    await operations.deleteOperation({ name });
    expect(summary(await errorOf(operations.getOperation({ name })))).toMatchObject({ reason: "OPERATION_NOT_FOUND" });
  });
});

describe("WatchOperation", () => {
  it("tells the operation at once, then each change, and ends after the end", async () => {
    let record = await insert(store);
    const states: (string | undefined)[] = [];
    for await (const operation of serve().ours.watchOperation({ name: record.name })) {
      states.push(stateOf(operation));
      const next = { ACCEPTED: "SENDING", SENDING: "SENT", SENT: "FAILED" } as const;
      const state = next[record.state as keyof typeof next];
      if (state !== undefined) {
        const endTime = state === "FAILED" ? NOON : undefined;
        record = (await store.change(record, { state, endTime }, { event: "next" })) ?? record;
      }
    }
    expect(states).toEqual(["STATE_ACCEPTED", "STATE_SENDING", "STATE_SENT", "STATE_FAILED"]);
  });

  it("tells a slow reader the newest", async () => {
    let record = await insert(store, { state: "SENT" });
    const told: (string | undefined)[] = [];
    for await (const { metadata } of serve().ours.watchOperation({ name: record.name })) {
      told.push(metadata && anyUnpack(metadata, RestartMetadataSchema)?.progress);
      if (told.length === 1) {
        for (let step = 1; step <= 20; step++) {
          record = (await store.change(record, { progress: `${step} of 20` }, undefined)) ?? record;
        }
        await store.change(record, { state: "SUCCEEDED", endTime: NOON, progress: "done" }, { event: "succeeded" });
      }
    }
    expect(told.at(-1)).toBe("done");
    expect(told.length).toBeLessThan(5);
  });

  it("ends with what the server says when it shuts down", async () => {
    const { name } = await insert(store);
    const failed = errorOf(serve().ours.watchOperation({ name }));
    await delay(50);
    shutdown.abort(new Failure("SHUTTING_DOWN", "the server is shutting down"));
    expect(summary(await failed)).toMatchObject({ reason: "SHUTTING_DOWN" });
  });
});

describe("ResolveOperation", () => {
  it("takes an operator's word", async () => {
    const { name } = await insert(store, UNRESOLVED);
    const { ours } = serve();
    const verdict = { name, outcome: RestartMetadata_Outcome.NOT_APPLIED, note: "asked the vendor" };
    const operation = await ours.resolveOperation(verdict);
    expect(stateOf(operation)).toBe("STATE_NOT_OBSERVED");
    expect(stateOf(await ours.resolveOperation(verdict))).toBe("STATE_NOT_OBSERVED");
    expect((await store.audit(name)).filter(({ event }) => event === "resolved")).toMatchObject([
      { actor: "anonymous", detail: "asked the vendor" },
    ]);
    const error = await errorOf(ours.resolveOperation({ name, outcome: RestartMetadata_Outcome.APPLIED }));
    expect(summary(error)).toMatchObject({ code: "failed_precondition", reason: "OPERATION_NOT_UNRESOLVED" });
    expect(error.findDetails(ResourceInfoSchema)[0]?.resourceName).toBe(name);
  });

  it("takes no other word", async () => {
    const { name } = await insert(store, UNRESOLVED);
    for (const outcome of [RestartMetadata_Outcome.UNSPECIFIED, RestartMetadata_Outcome.UNKNOWN]) {
      expect(summary(await errorOf(serve().ours.resolveOperation({ name, outcome })))).toMatchObject({
        reason: "INVALID_ARGUMENT",
      });
    }
    expect(stateOf(await serve().operations.getOperation({ name }))).toBe("STATE_UNRESOLVED");
    expect(RestartMetadata_State.UNRESOLVED).toBe(9);
  });
});

describe("BackupStore", () => {
  it("sends a copy of the store in pieces, and leaves no file", async () => {
    const { name } = await insert(store, { evidence: JSON.stringify({ much: "x".repeat(100_000) }) });
    const pieces: Uint8Array[] = [];
    for await (const { data } of serve().ours.backupStore({})) {
      pieces.push(data);
      expect(await readdir(folder.path)).toEqual([]);
    }
    expect(Math.max(...pieces.map((piece) => piece.length))).toBe(32 * 1024);
    const copy = Buffer.concat(pieces);
    expect(copy.subarray(0, 15).toString()).toBe("SQLite format 3");
    expect(copy.includes(name)).toBe(true);
  });

  it("leaves no file of a caller who leaves, nor of a copy that fails", async () => {
    await insert(store, { evidence: JSON.stringify({ much: "x".repeat(1_000_000) }) });
    for await (const _ of serve().ours.backupStore({})) break;
    expect(await readdir(folder.path)).toEqual([]);
    const backup = async (file: string) => {
      await writeFile(file, "half");
      throw new Error("disk full");
    };
    expect(summary(await errorOf(serve({ backup }).ours.backupStore({})))).toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    expect(await readdir(folder.path)).toEqual([]);
  });

  it("makes one copy at a time", async () => {
    await insert(store, { evidence: JSON.stringify({ much: "x".repeat(1_000_000) }) });
    const { ours } = serve();
    const leaving = new AbortController();
    const first = async () => {
      for await (const _ of ours.backupStore({}, { signal: leaving.signal })) {
        const error = await errorOf(ours.backupStore({}));
        expect(summary(error)).toMatchObject({ code: "resource_exhausted", reason: "QUEUE_FULL" });
        expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
        leaving.abort();
      }
    };
    await expect(first()).rejects.toThrow("canceled");
    // As soon as the server has seen that the caller of the first one has left.
    await vi.waitFor(async () => {
      let bytes = 0;
      for await (const { data } of ours.backupStore({})) bytes += data.length;
      expect(bytes).toBeGreaterThan(1_000_000);
    }, PATIENT);
  });

  it("is for SQLite alone", async () => {
    const { backup: _, ...rest } = store;
    store = rest;
    const error = await errorOf(serve().ours.backupStore({}));
    expect(summary(error)).toMatchObject({
      code: "failed_precondition",
      reason: "OPERATION_UNSUPPORTED_BY_TARGET",
      message: "the store is PostgreSQL, whose own tools make copies: use pg_dump, or its continuous archiving",
    });
    expect(error.findDetails(HelpSchema)[0]?.links[0]?.url).toMatch(/^https:\/\/www\.postgresql\.org\//);
  });
});
