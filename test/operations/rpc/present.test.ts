import { type DescMethodUnary, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { OperationSchema } from "../../../gen/google/longrunning/operations_pb.ts";
import { WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { OperationService } from "../../../gen/restart/operation/v1/operation_service_pb.ts";
import { Failure, resourceInfo } from "../../../src/core/errors.ts";
import type { OperationState } from "../../../src/core/operation.ts";
import { schemaOf } from "../../../src/core/schema.ts";
import { formatFailure } from "../../../src/core/status.ts";
import { presentOperation } from "../../../src/operations/rpc/present.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import { NOON, recordOf, UNRESOLVED } from "../support.ts";

const { registry } = schemaOf([WorkloadService, OperationService]);

const METHODS = new Map<string, DescMethodUnary>([
  ["restart.kubernetes.v1.WorkloadService/Restart", WorkloadService.method.restart],
  // An rpc with more in its answer.
  ["rollout", WorkloadService.method.getRollout],
]);

/** An operation as JSON, as a caller of the JSON API reads it. */
const present = (different: Partial<OperationRecord>) =>
  toJson(
    OperationSchema,
    presentOperation(recordOf(different), (method) => METHODS.get(method)),
    { registry },
  );

const refused = formatFailure(
  new Failure("ADMISSION_DENIED", "a webhook says no", { details: [resourceInfo("webhook", "w")] }),
);
const endUnknown = formatFailure(new Failure("OUTCOME_UNRESOLVED", "nobody knows how", { outcome: "applied" }));
const broken = formatFailure(new Failure("PROGRESS_DEADLINE_EXCEEDED", "it got stuck", { outcome: "applied" }));

describe("presentOperation()", () => {
  it("tells everything that is known", () => {
    const operation = present({
      name: "operations/1",
      target: "t",
      state: "SENT",
      requestId: "7e1b5b2e-3f5c-4a52-8a2e-0d7f6d1f0a11",
      vendorJob: "job-7",
      warnings: ["NO_REPLICAS", "OF_A_LATER_VERSION"],
      progress: "1 of 3",
      reason: "because",
      parent: "operations/0",
      cancelRequested: true,
      sendTime: NOON + 5,
      updateTime: NOON + 10,
    });
    expect(operation).toEqual({
      name: "operations/1",
      metadata: {
        "@type": "type.googleapis.com/restart.operation.v1.RestartMetadata",
        target: "t",
        action: "restart",
        state: "STATE_SENT",
        outcome: "OUTCOME_APPLIED",
        vendorJob: "job-7",
        warnings: ["NO_REPLICAS: There is no pod to restart; the next ones will be new.", "OF_A_LATER_VERSION"],
        requestId: "7e1b5b2e-3f5c-4a52-8a2e-0d7f6d1f0a11",
        reason: "because",
        principal: "anonymous",
        parent: "operations/0",
        createTime: "2026-01-31T12:00:00Z",
        sendTime: "2026-01-31T12:00:00.005Z",
        updateTime: "2026-01-31T12:00:00.010Z",
        progress: "1 of 3; asked to cancel: what was sent cannot be recalled",
        cancelRequested: true,
      },
    });
  });

  it.each<[OperationState, string, string | undefined]>([
    ["ACCEPTED", "", undefined],
    ["SENDING", "", "asked to cancel: what was sent cannot be recalled"],
    ["UNKNOWN", "nothing yet", "nothing yet; asked to cancel: what was sent cannot be recalled"],
    ["SUCCEEDED", "done", "done; asked to cancel: what was sent cannot be recalled"],
    ["CANCELLED", "", undefined],
    ["NOT_OBSERVED", "no trace", "no trace"],
  ])("of one that is %s and was to be cancelled says what came of that", (state, progress, said) => {
    const operation = present({ state, progress, cancelRequested: true }) as { metadata: { progress?: string } };
    expect(operation.metadata.progress).toBe(said);
  });

  it.each<[OperationState, string | undefined, string, "" | "response" | "error"]>([
    ["ACCEPTED", undefined, "OUTCOME_NOT_APPLIED", ""],
    ["SENDING", undefined, "OUTCOME_UNKNOWN", ""],
    ["SENT", undefined, "OUTCOME_APPLIED", ""],
    ["UNKNOWN", undefined, "OUTCOME_UNKNOWN", ""],
    ["SUCCEEDED", undefined, "OUTCOME_APPLIED", "response"],
    ["FAILED", refused, "OUTCOME_NOT_APPLIED", "error"],
    ["FAILED", broken, "OUTCOME_APPLIED", "error"],
    ["FAILED", undefined, "OUTCOME_UNKNOWN", "error"],
    ["CANCELLED", undefined, "OUTCOME_NOT_APPLIED", "error"],
    ["NOT_OBSERVED", undefined, "OUTCOME_NOT_APPLIED", "error"],
    ["UNRESOLVED", UNRESOLVED.error, "OUTCOME_UNKNOWN", "error"],
    ["UNRESOLVED", endUnknown, "OUTCOME_APPLIED", "error"],
  ])("of one that is %s tells outcome and result", (state, error, outcome, result) => {
    const operation = present({ state, error });
    expect(operation).toMatchObject({ metadata: { state: `STATE_${state}`, outcome } });
    expect(Object.keys(operation as object).filter((key) => ["done", "response", "error"].includes(key))).toEqual(
      result === "" ? [] : ["done", result],
    );
  });

  it("answers with the rpc's own message", () => {
    expect(present({ state: "SUCCEEDED", method: "rollout", response: '{"name":"web","later":1}' })).toMatchObject({
      response: { "@type": "type.googleapis.com/restart.kubernetes.v1.Rollout", name: "web" },
    });
  });

  it("answers with an empty message when nobody knows more, and with none when the rpc is gone", () => {
    expect(present({ state: "SUCCEEDED" })).toMatchObject({
      response: { "@type": "type.googleapis.com/google.protobuf.Empty" },
    });
    expect(present({ state: "SUCCEEDED", method: "gone" })).not.toHaveProperty("response");
  });

  it("keeps the details of a failure", () => {
    expect(present({ state: "FAILED", error: refused })).toMatchObject({
      error: {
        code: 9,
        message: "a webhook says no",
        details: [
          { reason: "ADMISSION_DENIED", domain: "restartd", metadata: { outcome: "not_applied" } },
          { resourceType: "webhook", resourceName: "w" },
        ],
      },
    });
  });

  it("leaves the answer of a job that failed later out", () => {
    const operation = present({ state: "FAILED", error: broken, response: "{}" });
    expect(operation).not.toHaveProperty("response");
    expect(operation).toMatchObject({ error: { message: "it got stuck" } });
  });
});
