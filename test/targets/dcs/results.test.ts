import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { newCall } from "../../../src/core/call.ts";
import { Failure, type FailureOptions, type Reason, retryInfo, toConnectError } from "../../../src/core/errors.ts";
import { resultsOf } from "../../../src/targets/dcs/results.ts";
import { failureOf, idOf, nameOf, PROJECT } from "./support.ts";

const failed = (number: number, reason: Reason, options: FailureOptions = {}) => ({
  projectId: PROJECT,
  instanceId: idOf(number),
  operation: "",
  failure: new Failure(reason, `${reason} of ${number}`, options),
});

/** What a caller is told when all of these failed. */
const told = (...all: Parameters<typeof resultsOf>[0][number][]) =>
  failureOf(
    new Promise((_, reject) => {
      try {
        resultsOf(all);
      } catch (error) {
        reject(error instanceof Failure ? toConnectError(error, newCall("id")) : error);
      }
    }),
  );

describe("resultsOf()", () => {
  it("tells of a single failure as it is, with its Status", async () => {
    const metadata = { vendor: "dcs", vendor_code: "DCS.4111" };
    expect(await told(failed(1, "OPERATION_IN_PROGRESS", { metadata }))).toMatchObject({
      code: Code.Aborted,
      reason: "OPERATION_IN_PROGRESS",
      message: "OPERATION_IN_PROGRESS of 1",
      metadata: { ...metadata, outcome: "not_applied" },
      items: [{ code: Code.Aborted, resources: [nameOf(idOf(1))], metadata }],
    });
  });

  it("keeps what all say alike, and waits for the slowest", async () => {
    const of = (seconds: number, code: string) => ({
      metadata: { vendor: "dcs", vendor_code: code },
      details: [retryInfo(seconds * 1_000)],
    });
    expect(await told(failed(1, "THROTTLED", of(2, "a")), failed(2, "THROTTLED", of(9, "b")))).toMatchObject({
      reason: "THROTTLED",
      metadata: { vendor: "dcs", outcome: "not_applied" },
      retryMs: 9_000,
    });
    const mixed = await told(failed(1, "THROTTLED", of(2, "a")), failed(2, "THROTTLED"));
    expect(mixed.retryMs).toBeUndefined();
  });

  it.each([
    [["TARGET_STATE_FORBIDS", "OPERATION_UNSUPPORTED_BY_TARGET"], Code.FailedPrecondition, "TARGET_STATE_FORBIDS"],
    [["TARGET_STATE_FORBIDS", "OPERATION_IN_PROGRESS"], Code.Unknown, "VENDOR_REPORTED_FAILED"],
    [["VENDOR_REPORTED_FAILED", "OUTCOME_UNKNOWN"], Code.Unknown, "OUTCOME_UNKNOWN"],
    [["OPERATION_IN_PROGRESS", "OUTCOME_UNKNOWN"], Code.Unknown, "OUTCOME_UNKNOWN"],
  ] as const)("%j is code %i, %s", async ([first, second], code, reason) => {
    const options = (one: Reason): FailureOptions => (one === "OUTCOME_UNKNOWN" ? { outcome: "unknown" } : {});
    const failure = await told(failed(1, first, options(first)), failed(2, second, options(second)));
    expect(failure).toMatchObject({ code, reason });
    expect(failure.metadata.outcome).toBe(reason === "OUTCOME_UNKNOWN" ? "unknown" : "not_applied");
    expect(failure.items.map((item) => item.reason)).toEqual([first, second]);
  });

  it("is DEADLINE_EXCEEDED when our deadline ended all of them", async () => {
    const options: FailureOptions = { outcome: "unknown", deadlineExceeded: true };
    const failure = await told(failed(1, "OUTCOME_UNKNOWN", options), failed(2, "OUTCOME_UNKNOWN", options));
    expect(failure).toMatchObject({ code: Code.DeadlineExceeded, reason: "OUTCOME_UNKNOWN" });
  });
});
