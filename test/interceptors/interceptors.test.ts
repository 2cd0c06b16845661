import { setTimeout as delay } from "node:timers/promises";
import { create, createRegistry, type DescFile } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient, createRouterTransport, type ServiceImpl } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { BadRequestSchema, RequestInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { RestartRequestSchema, WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { type Call, callKey } from "../../src/core/call.ts";
import { deadlineKey, remainingMs } from "../../src/core/deadline.ts";
import { Failure } from "../../src/core/errors.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { type DeadlineLimits, deadlineOf } from "../../src/interceptors/deadline.ts";
import { interceptors } from "../../src/interceptors/index.ts";
import { newValidator, warmUp } from "../../src/interceptors/validate.ts";
import { summary, VALID } from "../server/fixture.ts";

const validator = newValidator(schemaOf([WorkloadService]).registry);

interface Options extends Partial<DeadlineLimits> {
  readonly shutdown?: AbortSignal;
  readonly abandoned?: (call: Call, work: Promise<unknown>) => void;
}

/** A client of a made-up service, in memory, behind every interceptor. */
function clientOf(implementation: Partial<ServiceImpl<typeof WorkloadService>>, options: Options = {}) {
  const router = {
    interceptors: interceptors({
      newId: () => "call-1",
      shutdown: options.shutdown ?? new AbortController().signal,
      deadline: {
        defaultMs: options.defaultMs ?? 60_000,
        maxMs: options.maxMs ?? 600_000,
        graceMs: 50,
        abandoned: options.abandoned ?? (() => {}),
      },
      validator,
    }),
  };
  return createClient(
    WorkloadService,
    createRouterTransport(({ service }) => service(WorkloadService, implementation), { router }),
  );
}

const failureOf = async (work: Promise<unknown> | AsyncIterable<unknown>): Promise<ConnectError> => {
  try {
    if (Symbol.asyncIterator in work) {
      for await (const _ of work);
    } else {
      await work;
    }
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it did not fail");
};

const stuck = (): Promise<never> => new Promise(() => {});

const DEADLINE = {
  code: "deadline_exceeded",
  message: "the deadline has passed",
  reason: "DEADLINE_EXCEEDED",
  domain: "restartd",
  outcome: "not_applied",
};

describe("errors()", () => {
  it("makes a Call where no server made one, and keeps the failure in it", async () => {
    let call: Call | undefined;
    const client = clientOf({
      restart: (_, { values }) => {
        call = values.get(callKey);
        call.outcome = "applied";
        throw new TypeError("a defect");
      },
    });
    const error = await failureOf(client.restart(VALID));
    expect(summary(error)).toMatchObject({ reason: "INTERNAL", message: "internal error", outcome: "applied" });
    expect(error.findDetails(RequestInfoSchema)[0]?.requestId).toBe("call-1");
    expect(call).toMatchObject({ id: "call-1", failure: { reason: "INTERNAL", cause: new TypeError("a defect") } });
  });

  it("hides an upstream's error that a handler let through", async () => {
    const client = clientOf({
      listClusters: () => {
        throw new ConnectError("secret", 8);
      },
    });
    expect(summary(await failureOf(client.listClusters({})))).toMatchObject({
      code: "internal",
      message: "internal error",
    });
  });

  it("gives its form to what a stream throws after its first message", async () => {
    const client = clientOf({
      async *watchRollout() {
        yield {};
        throw new Failure("ROLLOUT_SUPERSEDED", "another restart took its place");
      },
    });
    expect(summary(await failureOf(client.watchRollout(VALID)))).toMatchObject({
      code: "aborted",
      reason: "ROLLOUT_SUPERSEDED",
      message: "another restart took its place",
    });
  });

  it("keeps a lone surrogate from breaking gRPC's message", async () => {
    const client = clientOf({
      listClusters: () => {
        throw new Failure("CLUSTER_NOT_FOUND", "no cluster \ud800");
      },
    });
    expect((await failureOf(client.listClusters({}))).rawMessage).toBe("no cluster \ufffd");
  });
});

describe("deadlineOf()", () => {
  const limits = { defaultMs: 60_000, maxMs: 600_000 };
  it.each([
    [{}, false, 60_000],
    [{ "connect-timeout-ms": "100" }, false, 100],
    [{ "connect-timeout-ms": "9999999999" }, false, 600_000],
    [{}, true, Number.POSITIVE_INFINITY],
    [{ "connect-timeout-ms": "9999999999" }, true, 9_999_999_999],
    [{ "content-type": "application/grpc", "grpc-timeout": "2H" }, true, 7_200_000],
    [{ "content-type": "application/grpc", "grpc-timeout": "3M" }, false, 180_000],
    [{ "content-type": "application/grpc", "grpc-timeout": "4S" }, false, 4000],
    [{ "content-type": "application/grpc+proto", "grpc-timeout": "5m" }, false, 5],
    [{ "content-type": "application/grpc-web", "grpc-timeout": "5000u" }, false, 5],
    [{ "content-type": "application/grpc", "grpc-timeout": "5000000n" }, false, 5],
    [{ "content-type": "application/json", "grpc-timeout": "5m" }, false, 60_000],
  ])("%j, stream %s: %d ms", (header, stream, expected) => {
    expect(deadlineOf(new Headers(header), stream, limits, 0)).toBeCloseTo(expected);
  });

  it.each(["", "1h", "123456789m", "-1S", "1.5S"])("refuses grpc-timeout %j", (value) => {
    const header = new Headers({ "content-type": "application/grpc", "grpc-timeout": value });
    expect(() => deadlineOf(header, false, limits, 0)).toThrow("must be at most 8 digits and one of H, M, S, m, u, n");
  });
});

describe("deadline()", () => {
  it("tells handlers how much time is left", async () => {
    const left: number[] = [];
    const client = clientOf({
      listClusters: (_, { values }) => {
        left.push(remainingMs(values));
        return {};
      },
      async *watchRollout(_, { values }) {
        left.push(remainingMs(values));
        yield {};
      },
    });
    await client.listClusters({});
    await client.listClusters({}, { timeoutMs: 5000 });
    await client.listClusters({}, { timeoutMs: 5_000_000 });
    for await (const _ of client.watchRollout(VALID));
    expect(left.map((ms) => Math.ceil(ms / 1000))).toEqual([60, 5, 600, Number.POSITIVE_INFINITY]);
  });

  it("ends a handler that is deaf, and says that it goes on", async () => {
    const abandoned: Promise<unknown>[] = [];
    const end = Promise.withResolvers<object>();
    const client = clientOf(
      { listClusters: () => end.promise },
      { defaultMs: 20, abandoned: (_, work) => abandoned.push(work) },
    );
    expect(summary(await failureOf(client.listClusters({})))).toEqual(DEADLINE);
    end.resolve({});
    expect(await abandoned[0]).toMatchObject({ message: { clusters: [] } });
  });

  it("takes an AbortError of Node's own functions for the deadline", async () => {
    const client = clientOf({ listClusters: (_, { signal }) => delay(5000, {}, { signal }) }, { defaultMs: 20 });
    expect(summary(await failureOf(client.listClusters({})))).toEqual(DEADLINE);
  });

  it("gives a handler that heeds its signal a moment to say how it ended", async () => {
    const heeding = (end: () => Promise<object>) =>
      clientOf(
        {
          listClusters: (_, { signal }) =>
            new Promise((resolve) => signal.addEventListener("abort", () => resolve(end()))),
        },
        { defaultMs: 20 },
      );
    expect(await heeding(async () => ({ nextPageToken: "made it" })).listClusters({})).toMatchObject({
      nextPageToken: "made it",
    });
    const unknown = heeding(async () => {
      throw new Failure("OUTCOME_UNKNOWN", "the API server did not answer", {
        outcome: "unknown",
        deadlineExceeded: true,
      });
    });
    expect(summary(await failureOf(unknown.listClusters({})))).toEqual({
      code: "deadline_exceeded",
      message: "the API server did not answer",
      reason: "OUTCOME_UNKNOWN",
      domain: "restartd",
      outcome: "unknown",
    });
  });

  it("says that the outcome is unknown once something may have left", async () => {
    const client = clientOf(
      {
        restart: (_, { values }) => {
          values.get(callKey).outcome = "unknown";
          return stuck();
        },
      },
      { defaultMs: 20 },
    );
    expect(summary(await failureOf(client.restart(VALID)))).toMatchObject({
      code: "deadline_exceeded",
      reason: "OUTCOME_UNKNOWN",
      outcome: "unknown",
    });
  });

  it("lets no call through whose deadline has passed", async () => {
    let called = false;
    const client = clientOf({
      listClusters: () => {
        called = true;
        return {};
      },
    });
    const expired = createClient(
      WorkloadService,
      createRouterTransport(({ service }) => service(WorkloadService, {}), {
        router: {
          interceptors: [
            (next) => (req) => {
              req.contextValues.set(deadlineKey, performance.now() - 1);
              return next(req);
            },
            ...interceptors({
              newId: () => "",
              shutdown: new AbortController().signal,
              deadline: { defaultMs: 1000, maxMs: 1000, abandoned: () => {} },
              validator,
            }),
          ],
        },
      }),
    );
    expect(summary(await failureOf(expired.listClusters({})))).toMatchObject({
      reason: "DEADLINE_EXCEEDED",
      message: "the deadline had passed before the call began",
    });
    await client.listClusters({});
    expect(called).toBe(true);
  });

  it("gives streams none of its own, and ends them at the caller's", async () => {
    const client = clientOf(
      {
        async *watchRollout({ name }) {
          yield { name };
          await delay(60);
          yield { name };
          await stuck();
        },
      },
      { defaultMs: 20, maxMs: 20 },
    );
    const names: string[] = [];
    const watching = (async () => {
      for await (const { name } of client.watchRollout(VALID, { timeoutMs: 1_500 })) {
        names.push(name);
      }
    })();
    expect((await failureOf(watching)).code).toBe(4);
    expect(names).toEqual(["web", "web"]);
  });
});

describe("drain()", () => {
  it("ends streams for the reason of the shutdown, and leaves unary calls alone", async () => {
    const shutdown = new AbortController();
    const held = Promise.withResolvers<object>();
    const client = clientOf(
      {
        listClusters: () => held.promise,
        async *watchRollout(_, { signal }) {
          yield {};
          await delay(5000, undefined, { signal }).catch(() => undefined);
          yield { message: "the last word" };
        },
      },
      { shutdown: shutdown.signal },
    );
    const list = client.listClusters({});
    const messages: string[] = [];
    const watching = (async () => {
      for await (const { message } of client.watchRollout(VALID)) {
        messages.push(message);
        shutdown.abort(new Failure("SHUTTING_DOWN", "shutting down"));
      }
    })();
    expect(summary(await failureOf(watching))).toMatchObject({ code: "unavailable", reason: "SHUTTING_DOWN" });
    expect(messages).toEqual(["", "the last word"]);
    held.resolve({});
    expect(await list).toMatchObject({ clusters: [] });
  });
});

describe("validate()", () => {
  it("checks the requests of streams", async () => {
    const client = clientOf({ async *watchRollout() {} });
    const error = await failureOf(client.watchRollout({ ...VALID, name: "" }));
    expect(summary(error)).toMatchObject({ reason: "INVALID_ARGUMENT", message: "name: value is required" });
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "name", reason: "REQUIRED" },
    ]);
  });

  it("names a rule of the whole message without a field", async () => {
    const client = clientOf({ listWorkloads: () => ({}) });
    const error = await failureOf(client.listWorkloads({ cluster: "c", resource: "deployments" }));
    expect(error.rawMessage).toMatch(/^version and resource go together: /);
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "", reason: "WORKLOADS_KIND" },
    ]);
  });

  it("puts unknown fields and violations into one answer", async () => {
    const client = clientOf({ restart: () => create(EmptySchema) });
    const request = create(RestartRequestSchema, { ...VALID, name: "" });
    request.$unknown = [{ no: 99, wireType: 0, data: Uint8Array.of(1) }];
    const error = await failureOf(client.restart(request));
    expect(error.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "name", reason: "REQUIRED" },
      { field: "unknown field number 99", reason: "UNKNOWN_FIELD" },
    ]);
  });

  it("calls a rule that does not compile our own defect", async () => {
    const client = createClient(
      WorkloadService,
      createRouterTransport(({ service }) => service(WorkloadService, {}), {
        router: {
          interceptors: interceptors({
            newId: () => "",
            shutdown: new AbortController().signal,
            deadline: { defaultMs: 1000, maxMs: 1000, abandoned: () => {} },
            validator: newValidator(createRegistry()),
          }),
        },
      }),
    );
    expect(summary(await failureOf(client.restart(VALID)))).toMatchObject({ code: "internal", reason: "INTERNAL" });
  });
});

describe("warmUp()", () => {
  it("passes over the rules of every request", () => {
    expect(() => warmUp(validator, [WorkloadService])).not.toThrow();
  });

  it("stops a start whose rules do not compile", () => {
    const none: DescFile[] = [];
    expect(() => warmUp(newValidator(createRegistry(...none)), [WorkloadService])).toThrow(
      /^restart\.kubernetes\.v1\.RestartRequest: /,
    );
  });
});

describe("interceptors()", () => {
  it("are in this order", () => {
    const all = interceptors({
      newId: () => "",
      shutdown: new AbortController().signal,
      deadline: { defaultMs: 1, maxMs: 1, abandoned: () => {} },
      validator,
    });
    const next = () => Promise.reject(new Error("not called"));
    expect(all.map((interceptor) => interceptor(next).name)).toEqual([
      "errors",
      "deadline",
      "identifiers",
      "validate",
      "authorize",
    ]);
  });
});
