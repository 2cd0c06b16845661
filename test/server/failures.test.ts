import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTo } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { ViolationsSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BadRequestSchema, RequestInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { RolloutSchema } from "../../gen/restart/kubernetes/v1/workload_pb.ts";
import { RestartRequestSchema } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import {
  type Fixture,
  FORMS,
  gzip,
  ORIGIN,
  type ProtocolForm,
  type RawRequest,
  send,
  serve,
  summary,
  VALID,
  validJson,
} from "./fixture.ts";

let fixture: Fixture;

beforeAll(async () => {
  fixture = await serve(
    {
      restart: ({ reason }, { signal }) => misbehave(reason, signal),
      // biome-ignore lint/correctness/useYield: a stream that fails before its first message
      async *watchRollout({ restartedAt }, { signal }) {
        await misbehave(restartedAt, signal);
      },
    },
    { bodyTimeoutMs: 1_500 },
  );
});

afterAll(() => fixture[Symbol.asyncDispose]());

async function misbehave(how: string, signal: AbortSignal): Promise<Record<string, never>> {
  switch (how) {
    case "throw":
      throw new Error("secret of the server");
    case "deaf":
      await new Promise((resolve) => setTimeout(resolve, 2000).unref());
      break;
    case "heed":
      await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  }
  return {};
}

/** A message that neither JSON nor binary can hold. */
const unserialisable = () => Object.assign(create(RolloutSchema), { name: 5, desired: 2 ** 40 });

/** Makes a request fail in one way, in any protocol. */
interface Failing {
  readonly reason: string;
  readonly code: string;
  readonly http: number;
  readonly message: (form: ProtocolForm) => string | RegExp;
  readonly request: (form: ProtocolForm) => RawRequest;
}

const json = (form: ProtocolForm, body: string, headers: Record<string, string> = {}): RawRequest => ({
  path: form.path,
  headers: { "content-type": form.json, ...headers },
  body: form.frame(body),
});

const proto = (form: ProtocolForm, body: Uint8Array, headers: Record<string, string> = {}): RawRequest => ({
  path: form.path,
  headers: { "content-type": form.proto, ...headers },
  body: form.frame(body),
});

const packed = (form: ProtocolForm, body: Uint8Array): RawRequest => ({
  path: form.path,
  headers: { "content-type": form.json, [form.encodingHeader]: "gzip" },
  body: form.frame(body, true),
});

/** How a handler is told to misbehave: by a field that it has. */
const told = (form: ProtocolForm, how: string): string =>
  validJson({ [form.name === "connect-stream" ? "restartedAt" : "reason"]: how });

const typeOf = (form: ProtocolForm): string =>
  `restart.kubernetes.v1.${form.name === "connect-stream" ? "WatchRolloutRequest" : "RestartRequest"}`;

const malformed = { reason: "MALFORMED_REQUEST", code: "invalid_argument", http: 400 };
const tooLarge = { reason: "REQUEST_TOO_LARGE", code: "resource_exhausted", http: 429 };
const late = { reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded", http: 504 };
const unsupported = { reason: "UNSUPPORTED_PROTOCOL", code: "unimplemented", http: 501 };
const forbidden = { reason: "HOST_NOT_ALLOWED", code: "permission_denied", http: 403 };
const internal = { reason: "INTERNAL", code: "internal", http: 500 };

const FAILING: Record<string, Failing> = {
  "JSON that does not end": {
    ...malformed,
    message: (form) => new RegExp(`^cannot decode message ${typeOf(form)} from JSON: `),
    request: (form) => json(form, "{"),
  },
  "JSON of another shape": {
    ...malformed,
    message: (form) => `cannot decode field ${typeOf(form)}.cluster from JSON: expected string, got 1`,
    request: (form) => json(form, '{"cluster":1}'),
  },
  "bytes that are no protobuf": {
    ...malformed,
    message: () => /^parse binary: /,
    request: (form) => proto(form, Buffer.from("ffffffffff", "hex")),
  },
  "a body over the limit": {
    ...tooLarge,
    message: () => /^message size (is|\d+ is) larger than configured readMaxBytes 65536$/,
    request: (form) => json(form, validJson({ name: "x".repeat(70_000) })),
  },
  "a body over the limit once it is unpacked": {
    ...tooLarge,
    message: () => "message is larger than configured readMaxBytes 65536 after decompression",
    request: (form) => packed(form, gzip("x".repeat(1_000_000))),
  },
  "bytes that are not gzip": {
    ...malformed,
    message: () => "decompression failed",
    request: (form) => packed(form, Buffer.from("not gzip")),
  },
  "gzip that is cut off": {
    ...malformed,
    message: () => "decompression failed",
    request: (form) => packed(form, gzip(validJson()).subarray(0, 30)),
  },
  "an encoding that nobody knows": {
    ...unsupported,
    message: () => 'unknown compression "zstd": supported encodings are gzip',
    request: (form) => json(form, validJson(), { [form.encodingHeader]: "zstd" }),
  },
  "a timeout that is no number": {
    ...malformed,
    message: (form) =>
      form.timeoutHeader === "grpc-timeout"
        ? 'header grpc-timeout: must be at most 8 digits and one of H, M, S, m, u, n: got "soon"'
        : 'header connect-timeout-ms: must be milliseconds in at most 10 digits: got "soon"',
    request: (form) => json(form, validJson(), { [form.timeoutHeader]: "soon" }),
  },
  "a deadline that has passed": {
    ...late,
    message: () => "the deadline had passed before the call began",
    request: (form) =>
      json(form, validJson(), { [form.timeoutHeader]: form.timeoutHeader === "grpc-timeout" ? "0m" : "0" }),
  },
  "a deadline that passes on a deaf handler": {
    ...late,
    message: () => "the deadline has passed",
    request: (form) =>
      json(form, told(form, "deaf"), { [form.timeoutHeader]: form.timeoutHeader === "grpc-timeout" ? "150m" : "150" }),
  },
  "a deadline that passes on a handler that heeds it": {
    ...late,
    message: () => "the deadline has passed",
    request: (form) =>
      json(form, told(form, "heed"), { [form.timeoutHeader]: form.timeoutHeader === "grpc-timeout" ? "150m" : "150" }),
  },
  "a body that does not end": {
    ...late,
    message: () => "the body of the request did not arrive in time",
    request: (form) => ({ ...json(form, validJson()), open: true }),
  },
  "a handler that throws": {
    ...internal,
    message: () => "internal error",
    request: (form) => json(form, told(form, "throw")),
  },
  "an unknown procedure": {
    reason: "UNKNOWN_PROCEDURE",
    code: "unimplemented",
    http: 404,
    message: (form) => `no procedure "${form.path}s" here; did you mean ${form.path}?`,
    request: (form) => ({ ...json(form, validJson()), path: `${form.path}s` }),
  },
  "a rebound host name": {
    ...forbidden,
    message: () =>
      'the request has Host "evil.example:8080": use 127.0.0.1, [::1] or localhost, this server answers on loopback only',
    request: (form) => json(form, validJson(), { host: "evil.example:8080" }),
  },
  "the origin of a page that is not allowed": {
    ...forbidden,
    message: () => 'origin "https://evil.example" is not allowed: add it to cors.allowed_origins',
    request: (form) => json(form, validJson(), { origin: "https://evil.example" }),
  },
  "a field that breaks a rule": {
    reason: "INVALID_ARGUMENT",
    code: "invalid_argument",
    http: 400,
    message: () => "cluster: value is required, and 1 more",
    request: (form) => json(form, validJson({ cluster: "", name: "" })),
  },
};

describe.each([1, 2] as const)("failures over HTTP/%s", (http) => {
  describe.each(FORMS)("in the form of $name", (form) => {
    it.each(Object.entries(FAILING))("%s", async (_, failing) => {
      const answer = await send(http, fixture.server.url, failing.request(form));
      const { message, ...rest } = summary(form.error(answer)) ?? {};
      expect(rest).toEqual({
        code: failing.code,
        reason: failing.reason,
        domain: "restartd",
        outcome: "not_applied",
      });
      const expected = failing.message(form);
      expect(message).toEqual(typeof expected === "string" ? expected : expect.stringMatching(expected));
      expect(answer.status).toBe(form.status(failing.http));
      expect(answer.headers["cache-control"]).toBe("no-store");
    });

    it("a request without a message", async () => {
      const answer = await send(http, fixture.server.url, { ...json(form, ""), body: Buffer.alloc(0) });
      expect(summary(form.error(answer))).toMatchObject(
        form.name === "connect" ? { reason: "MALFORMED_REQUEST" } : { reason: "UNSUPPORTED_PROTOCOL" },
      );
    });

    it("an answer that cannot be serialised", async () => {
      const path = form.name === "connect-stream" ? form.path : "/restart.kubernetes.v1.WorkloadService/GetRollout";
      await using broken = await serve({
        getRollout: unserialisable,
        async *watchRollout() {
          yield unserialisable();
        },
      });
      for (const request of [
        json(form, validJson()),
        proto(form, toBinary(RestartRequestSchema, create(RestartRequestSchema, VALID))),
      ]) {
        const error = form.error(await send(http, broken.server.url, { ...request, path }));
        expect(summary(error)).toMatchObject({ code: "internal", reason: "INTERNAL", message: "internal error" });
        const [info] = error?.findDetails(RequestInfoSchema) ?? [];
        expect(await broken.line((line) => line.request_id === info?.requestId)).toMatchObject({
          level: "error",
          code: "internal",
          cause: { type: "ConnectError", message: expect.stringMatching(/cannot encode field|invalid int32/) },
        });
      }
    });

    it("names every violation in BadRequest, beside protovalidate's own detail", async () => {
      const error = form.error(
        await send(http, fixture.server.url, json(form, validJson({ cluster: "", name: "WEB" }))),
      );
      expect(error?.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
        { field: "cluster", reason: "REQUIRED", description: "value is required" },
        { field: "name", reason: "KUBERNETES_OBJECT_NAME", description: expect.stringMatching(/^must be a DNS-1123/) },
      ]);
      expect(error?.findDetails(ViolationsSchema)[0]?.violations).toMatchObject([
        { ruleId: "required" },
        { ruleId: "kubernetes.object_name" },
      ]);
    });

    it("logs what the caller is not told", async () => {
      const error = form.error(await send(http, fixture.server.url, json(form, told(form, "throw"))));
      const [info] = error?.findDetails(RequestInfoSchema) ?? [];
      expect(await fixture.line((line) => line.request_id === info?.requestId)).toMatchObject({
        level: "error",
        reason: "INTERNAL",
        protocol: form.name,
        cause: { type: "Error", message: "secret of the server", stack: expect.arrayContaining([]) },
      });
    });

    it("answers no more calls while it drains", async () => {
      const held = Promise.withResolvers<void>();
      const begun = Promise.withResolvers<void>();
      await using draining = await serve({
        async listClusters() {
          begun.resolve();
          await held.promise;
          return {};
        },
      });
      const list = send(1, draining.server.url, {
        path: "/restart.kubernetes.v1.WorkloadService/ListClusters",
        headers: { "content-type": "application/json" },
        body: "{}",
      });
      await begun.promise;
      const closed = draining.server.close();
      const answer = await send(http, draining.server.url, json(form, validJson()));
      const error = form.error(answer);
      expect(summary(error)).toEqual({
        code: "unavailable",
        message: "the server is shutting down: call again, it or another may answer then",
        reason: "SHUTTING_DOWN",
        domain: "restartd",
        outcome: "not_applied",
      });
      expect(error?.findDetails(RetryInfoSchema)[0]?.retryDelay?.seconds).toBe(1n);
      held.resolve();
      expect((await list).status).toBe(200);
      expect(await closed).toBe(true);
    });
  });
});

describe("unknown fields", () => {
  const unaryForms = FORMS.filter(({ name }) => name !== "connect-stream");

  it.each(unaryForms)("of a mutation are refused in JSON ($name)", async (form) => {
    const error = form.error(await send(2, fixture.server.url, json(form, validJson({ validateOnyl: true }))));
    expect(summary(error)).toMatchObject({ reason: "INVALID_ARGUMENT", message: "unknown field: validateOnyl" });
    expect(error?.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      {
        field: "validateOnyl",
        reason: "UNKNOWN_FIELD",
        description: "is not a field of this request; check its spelling",
      },
    ]);
  });

  it("of a mutation are refused all at once, with whatever else is wrong, in plain JSON", async () => {
    const [form] = unaryForms;
    assert(form);
    const request = json(form, JSON.stringify({ cluster: "c", validateonly: true, foo: 1, name: "Web_1" }));
    const error = form.error(await send(2, fixture.server.url, request));
    const violations = error?.findDetails(BadRequestSchema)[0]?.fieldViolations ?? [];
    expect(violations.map(({ field, reason }) => `${field} ${reason}`)).toEqual([
      "version REQUIRED",
      "resource REQUIRED",
      "namespace REQUIRED",
      "name KUBERNETES_OBJECT_NAME",
      "validateonly UNKNOWN_FIELD",
      "foo UNKNOWN_FIELD",
    ]);
    expect(error?.findDetails(ViolationsSchema)).toHaveLength(1);
  });

  it.each(unaryForms)("of a mutation are refused in binary ($name)", async (form) => {
    const known = toBinary(RestartRequestSchema, create(RestartRequestSchema, VALID));
    const body = Buffer.concat([known, Buffer.from("980601", "hex")]); // field 99, varint 1
    const error = form.error(await send(2, fixture.server.url, proto(form, body)));
    expect(summary(error)).toMatchObject({
      reason: "INVALID_ARGUMENT",
      message: "unknown field: unknown field number 99",
    });
    expect(error?.findDetails(BadRequestSchema)[0]?.fieldViolations).toMatchObject([
      { field: "unknown field number 99", reason: "UNKNOWN_FIELD" },
    ]);
  });

  it("of a read are tolerated", async () => {
    await using server = await serve();
    const answer = await send(1, server.server.url, {
      path: "/restart.kubernetes.v1.WorkloadService/GetRollout",
      headers: { "content-type": "application/json" },
      body: validJson({ later: 1 }),
    });
    expect(JSON.parse(answer.body.toString())).toEqual({ name: "web" });
  });
});

describe("failures of HTTP", () => {
  const restart = "/restart.kubernetes.v1.WorkloadService/Restart";
  const watch = "/restart.kubernetes.v1.WorkloadService/WatchRollout";
  const [connect] = FORMS;

  it.each([1, 2] as const)("a wrong content type over HTTP/%s", async (http) => {
    const answer = await send(http, fixture.server.url, { path: restart, headers: { "content-type": "text/plain" } });
    expect(answer.status).toBe(415);
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(answer.headers["accept-post"]).toBe(
      "application/json, application/proto, application/grpc+proto, application/grpc+json, application/grpc, " +
        "application/grpc-web+proto, application/grpc-web+json, application/grpc-web",
    );
    expect(summary(connect?.error(answer))).toMatchObject({ reason: "UNSUPPORTED_PROTOCOL" });
  });

  it("a unary content type for a stream", async () => {
    const answer = await send(1, fixture.server.url, { path: watch, headers: { "content-type": "application/json" } });
    expect(answer.status).toBe(415);
    expect(answer.headers["accept-post"]).toMatch(/^application\/connect\+json, application\/connect\+proto, /);
  });

  it("a codec of gRPC that nobody knows", async () => {
    const answer = await send(2, fixture.server.url, {
      path: restart,
      headers: { "content-type": "application/grpc+xml" },
    });
    expect(answer.status).toBe(200);
    expect(summary(FORMS[2]?.error(answer))).toMatchObject({ code: "unimplemented", reason: "UNSUPPORTED_PROTOCOL" });
  });

  it.each([
    ["GET", restart, "POST"],
    ["GET", watch, "POST"],
    ["PUT", "/restart.kubernetes.v1.WorkloadService/GetRollout", "POST, GET"],
    ["DELETE", restart, "POST"],
  ])("a wrong method: %s %s", async (method, path, allow) => {
    for (const http of [1, 2] as const) {
      const answer = await send(http, fixture.server.url, { method, path });
      expect(answer.status).toBe(405);
      expect(answer.headers.allow).toBe(allow);
      expect(summary(connect?.error(answer))).toMatchObject({
        code: "unimplemented",
        reason: "UNSUPPORTED_PROTOCOL",
        message: `${path.slice(1)} is not called with ${method}: use ${allow}`,
      });
    }
  });

  it.each([1, 2] as const)("HEAD, without a body, over HTTP/%s", async (http) => {
    const answer = await send(http, fixture.server.url, { method: "HEAD", path: restart });
    expect([answer.status, answer.body.length]).toEqual([405, 0]);
  });

  it("a stream in both directions over HTTP/1.1", async () => {
    const path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    const answer = await send(1, fixture.server.url, { path, headers: { "content-type": "application/connect+json" } });
    expect(summary(FORMS[1]?.error(answer))).toMatchObject({
      reason: "UNSUPPORTED_PROTOCOL",
      message: "grpc.reflection.v1.ServerReflection/ServerReflectionInfo streams both ways: use HTTP/2",
    });
    expect(answer.headers.connection).toBe("close");
  });

  it.each([
    [
      "an expectation that nobody meets",
      `POST ${restart} HTTP/1.1\r\nHost: evil.example\r\nExpect: nope\r\n\r\n`,
      "HOST_NOT_ALLOWED",
    ],
    ["CONNECT", "CONNECT elsewhere:443 HTTP/1.1\r\nHost: elsewhere:443\r\n\r\n", "UNSUPPORTED_PROTOCOL"],
  ])("%s", async (_what, request, reason) => {
    const socket = connectTo(Number(new URL(fixture.server.url).port), "127.0.0.1");
    socket.write(request);
    const [head] = (await once(socket, "data")) as [Buffer];
    socket.destroy();
    expect(head.toString()).toContain(`"reason":"${reason}"`);
  });

  it("a GET whose message is not base64", async () => {
    const path = "/restart.kubernetes.v1.WorkloadService/GetRollout?connect=v1&encoding=proto&base64=1&message=%25";
    const answer = await send(1, fixture.server.url, { method: "GET", path });
    expect([answer.status, summary(connect?.error(answer))]).toMatchObject([400, { reason: "MALFORMED_REQUEST" }]);
  });

  it("a GET without an encoding", async () => {
    const path = "/restart.kubernetes.v1.WorkloadService/GetRollout?connect=v1&message={}";
    const answer = await send(1, fixture.server.url, { method: "GET", path });
    expect([answer.status, summary(connect?.error(answer))]).toMatchObject([415, { reason: "UNSUPPORTED_PROTOCOL" }]);
  });

  it("a path of another version of the service names the rpc that was meant", async () => {
    const answer = await send(1, fixture.server.url, { path: "/k8s.v1alpha1.Workloads/WatchRollout" });
    expect(summary(connect?.error(answer))?.message).toBe(
      `no procedure "/k8s.v1alpha1.Workloads/WatchRollout" here; did you mean ${watch}?`,
    );
  });

  it("unpacks a gzipped answer's failure for whoever asked for gzip", async () => {
    const answer = await send(1, fixture.server.url, {
      path: restart,
      headers: { "content-type": "application/json", "accept-encoding": "gzip" },
      body: "{}",
    });
    expect(answer.headers["content-encoding"]).toBe("gzip");
    expect(answer.headers.vary).toBe("Origin");
  });

  it("shows the failures of an allowed origin to its page", async () => {
    const answer = await send(1, fixture.server.url, { path: "/nothing", headers: { origin: ORIGIN } });
    expect(answer.headers["access-control-allow-origin"]).toBe(ORIGIN);
  });
});
