import { create } from "@bufbuild/protobuf";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { RolloutSchema } from "../../gen/restart/kubernetes/v1/workload_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { Failure } from "../../src/core/errors.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { encloserOf } from "../../src/server/server-stream.ts";
import { type Fixture, serve, summary, VALID } from "./fixture.ts";

const LONG = "a detail that is worth packing ".repeat(200);

const makers = { connect: createConnectTransport, grpc: createGrpcTransport, "grpc-web": createGrpcWebTransport };

const FORMS = Object.entries(makers).flatMap(([protocol, make]) =>
  [true, false].flatMap((useBinaryFormat) =>
    [true, false].map((packed) => ({
      name: `${protocol} in ${useBinaryFormat ? "protobuf" : "JSON"}, ${packed ? "packed" : "as it is"}`,
      packed,
      open: ({ server }: Fixture): Transport =>
        make({
          baseUrl: server.url,
          httpVersion: "2",
          useBinaryFormat,
          ...(!packed && { acceptCompression: [] }),
        }),
    })),
  ),
);

async function failureOf(messages: AsyncIterable<unknown>): Promise<ConnectError> {
  try {
    for await (const _ of messages);
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error("it did not fail");
}

/** A message that no format takes. */
const unwritable = () =>
  Object.defineProperty(create(RolloutSchema), "name", {
    get() {
      throw new TypeError("a defect");
    },
  });

describe("a stream's messages", () => {
  it.each(FORMS)("arrive, and its end, by $name", async ({ open, packed }) => {
    await using fixture = await serve({
      async *watchRollout(_, { responseHeader, responseTrailer }) {
        responseHeader.set("before", "the first");
        yield { name: "short" };
        responseTrailer.set("after", "the last");
        yield { name: "long", detail: LONG };
        yield { name: "last" };
      },
    });
    const client = createClient(WorkloadService, open(fixture));
    const seen: [string, string][] = [];
    const said: unknown[] = [];
    const onHeader = (header: Headers): void => {
      said.push(header.get("before"), header.get("grpc-encoding") ?? header.get("connect-content-encoding"));
    };
    const onTrailer = (trailer: Headers): void => void said.push(trailer.get("after"));
    for await (const { name, detail } of client.watchRollout(VALID, { onHeader, onTrailer })) seen.push([name, detail]);
    expect(seen).toEqual([
      ["short", ""],
      ["long", LONG],
      ["last", ""],
    ]);
    expect(said).toEqual(["the first", packed ? "gzip" : null, "the last"]);
  });

  it.each(FORMS)("are followed by the failure that there is, by $name", async ({ open }) => {
    await using fixture = await serve({
      async *watchRollout() {
        yield { name: "first" };
        throw new Failure("RATE_LIMITED", "too much of it", { metadata: { limit: "3" } });
      },
    });
    const error = await failureOf(createClient(WorkloadService, open(fixture)).watchRollout(VALID));
    expect(summary(error)).toMatchObject({ reason: "RATE_LIMITED", message: "too much of it" });
    expect((await fixture.line(({ method }) => String(method).endsWith("WatchRollout"))).reason).toBe("RATE_LIMITED");
  });

  it.each(FORMS)("end with one that cannot be written, and the handler with it, by $name", async ({ open }) => {
    const left = Promise.withResolvers<void>();
    await using fixture = await serve({
      async *watchRollout() {
        try {
          yield { name: "first" };
          yield unwritable();
          yield { name: "never" };
        } finally {
          left.resolve();
        }
      },
    });
    const error = await failureOf(createClient(WorkloadService, open(fixture)).watchRollout(VALID));
    expect(summary(error)).toMatchObject({ reason: "INTERNAL", message: "internal error" });
    await left.promise;
  });
});

describe("a handler", () => {
  // Over HTTP/1.1 Node looks at headers when they are set.
  const rollout = ({ server }: Fixture) =>
    createClient(WorkloadService, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" })).watchRollout(
      VALID,
    );

  it("ends when its headers cannot be sent", async () => {
    const left = Promise.withResolvers<void>();
    await using fixture = await serve({
      async *watchRollout(_, { responseHeader }) {
        responseHeader.set("x-odd", "a\u0001b");
        try {
          yield { name: "first" };
          yield { name: "second" };
        } finally {
          left.resolve();
        }
      },
    });
    await Promise.all([left.promise, failureOf(rollout(fixture))]);
    expect((await fixture.line(({ method }) => String(method).endsWith("WatchRollout"))).reason).toBe("INTERNAL");
  });

  it.each([0, 1])("whose iterator throws instead of rejecting, after %i messages, fails in our form", async (count) => {
    await using fixture = await serve({
      watchRollout: () => ({
        [Symbol.asyncIterator]() {
          let left = count;
          return {
            next(): Promise<IteratorResult<{ name: string }>> {
              if (left-- > 0) return Promise.resolve({ done: false, value: { name: "one" } });
              throw new TypeError("a secret of ours");
            },
          };
        },
      }),
    });
    const error = await failureOf(rollout(fixture));
    expect(summary(error)).toMatchObject({ reason: "INTERNAL", message: "internal error" });
    expect((await fixture.line(({ method }) => String(method).endsWith("WatchRollout"))).reason).toBe("INTERNAL");
  });
});

describe("encloserOf()", () => {
  const enclose = encloserOf({ method: WorkloadService.method.watchRollout }, schemaOf([WorkloadService]).registry);

  it("writes a message once, however many it is sent to, and each format by itself", () => {
    const message = create(RolloutSchema, { name: "web" });
    expect(enclose(message, false)).toBe(enclose(message, false));
    expect(enclose(message, true)).toBe(enclose(message, true));
    expect(enclose(message, true)).not.toEqual(enclose(message, false));
    expect(enclose(create(RolloutSchema, { name: "web" }), false)).toEqual(enclose(message, false));
    expect(enclose(create(RolloutSchema, { name: "db" }), false)).not.toEqual(enclose(message, false));
  });
});
