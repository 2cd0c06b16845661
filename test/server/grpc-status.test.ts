import { anyIs, anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { ConnectError, decodeBinaryHeader } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { describe, expect, it } from "vitest";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import {
  badRequest,
  type Detail,
  Failure,
  preconditionFailure,
  resourceInfo,
  retryInfo,
  toConnectError,
} from "../../src/core/errors.ts";
import { statusOf } from "../../src/core/status.ts";
import { trailersOf } from "../../src/server/grpc-status.ts";

/** What a client of gRPC gets of a failure. */
function received(message: string, details: readonly Detail[]) {
  const failure = new Failure("OUTCOME_UNKNOWN", message, { outcome: "unknown", metadata: { vendor: "dcs" }, details });
  const error = toConnectError(failure, { id: "3e0e4d4e-6f3f-4ff5-9c0e-1f5f5e8c1c11" });
  const before = setTrailerStatus(new Headers(), error);
  const trailers = trailersOf(before);
  const status = decodeBinaryHeader(trailers["grpc-status-details-bin"] ?? "", StatusSchema);
  return {
    error,
    trailers,
    status,
    /** As HPACK counts them. */
    size: Object.entries(trailers).reduce((sum, [name, value]) => sum + name.length + value.length + 32, 0),
    info: status.details[0] && anyUnpack(status.details[0], ErrorInfoSchema),
    message: decodeURIComponent(trailers["grpc-message"] ?? ""),
  };
}

const item = (at: number): Detail => ({
  desc: StatusSchema,
  value: statusOf(
    new Failure("VENDOR_REPORTED_FAILED", `DCS reported failed for c0ffee00-0000-4000-8000-${at}`, {
      outcome: "unknown",
      metadata: { vendor: "dcs", vendor_http_status: "200" },
      details: [resourceInfo("dcs", `projects/p/dcs/instances/c0ffee00-0000-4000-8000-${at}`)],
    }),
  ),
});

describe("trailersOf()", () => {
  it("leaves a status that is small as it is", () => {
    const { status, error, message } = received("went %wrong", [retryInfo(1000), item(1)]);
    expect(message).toBe("went %wrong");
    expect(status.details).toHaveLength(error.details.length);
    expect(trailersOf(new Headers({ "grpc-status": "0" }))).toEqual({ "grpc-status": "0" });
  });

  it("sends ErrorInfo first, then what fits, and says how much is missing", () => {
    const details = [...Array.from({ length: 50 }, (_, at) => item(at)), retryInfo(1000)];
    const { status, info, size } = received("all 50 instances failed", details);
    expect(size).toBeLessThanOrEqual(6144);
    const items = status.details.filter((any) => anyIs(any, StatusSchema)).length;
    expect(items).toBeGreaterThan(5);
    expect(info).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      metadata: { vendor: "dcs", outcome: "unknown", details_left_out: String(50 - items) },
    });
    expect(status.details.some((any) => anyIs(any, RetryInfoSchema))).toBe(true);
  });

  it.each([1, 20, 200, 2000])("sends as many of %i violations as fit", (count) => {
    const text = "a description of some length, ".repeat(8);
    const fields = Array.from({ length: count }, (_, at) => ({ field: `f[${at}]`, description: text, reason: "R" }));
    const states = Array.from({ length: count }, (_, at) => ({ type: "R", subject: `s${at}`, description: text }));
    for (const [detail, schema, name] of [
      [badRequest(fields), BadRequestSchema, "fieldViolations"],
      [preconditionFailure(states), PreconditionFailureSchema, "violations"],
    ] as const) {
      const { status, size } = received("wrong", [detail as Detail]);
      expect(size).toBeLessThanOrEqual(6144);
      const sent = status.details.flatMap((any) => anyUnpack<typeof schema>(any, schema) ?? [])[0];
      const violations = Object(sent)[name];
      expect(violations.length).toBeGreaterThanOrEqual(Math.min(count, 10));
      expect(violations[0]).toMatchObject({ description: text });
    }
  });

  it.each(["x", "é", "%", "\u{1f600}", "\n"])("cuts a message of %j, in both places at the same place", (letter) => {
    const { status, message, size, info } = received(letter.repeat(3000), [item(1)]);
    expect(size).toBeLessThanOrEqual(6144);
    expect(message).toBe(status.message);
    expect(message).toMatch(/^.{50,}\.\.\.$/su);
    expect(info).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
    expect(anyUnpack(status.details[1] ?? anyPack(StatusSchema, status), StatusSchema)?.message).toContain("DCS");
  });

  it("cuts a message that comes without details", () => {
    const trailers = trailersOf(setTrailerStatus(new Headers(), new ConnectError("é".repeat(3000))));
    expect((trailers["grpc-message"] ?? "").length).toBeLessThanOrEqual(1000);
  });
});
