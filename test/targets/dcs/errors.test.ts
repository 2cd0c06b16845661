import { describe, expect, it } from "vitest";
import type { Answer } from "../../../src/clouds/http.ts";
import { Failure, type Reason } from "../../../src/core/errors.ts";
import { askedAbout, refusal } from "../../../src/targets/dcs/errors.ts";
import { dcsError, ERROR_ROWS, type ErrorForm } from "../../../src/targets/dcs/simulator.ts";
import { CLUSTER, nameOf, PROJECT } from "./support.ts";

/** What each code of the vendor's table means, by hand (contracts/huaweicloud.md B.3, vendors.md §F). */
const MEANING: Readonly<Record<string, Reason>> = {
  "DCS.4002": "VENDOR_REFUSED_REQUEST",
  "DCS.4004": "VENDOR_REFUSED_REQUEST",
  "DCS.4005": "VENDOR_REFUSED_REQUEST",
  "DCS.4017": "OPERATION_IN_PROGRESS",
  "DCS.4026": "TARGET_STATE_FORBIDS",
  "DCS.4027": "OPERATION_UNSUPPORTED_BY_TARGET",
  "DCS.4049": "TARGET_STATE_FORBIDS",
  "DCS.4061": "VENDOR_REFUSED_REQUEST",
  "DCS.4062": "VENDOR_REFUSED_REQUEST",
  "DCS.4063": "VENDOR_REFUSED_REQUEST",
  "DCS.4064": "VENDOR_REFUSED_REQUEST",
  "DCS.4065": "VENDOR_REFUSED_REQUEST",
  "DCS.4069": "OPERATION_IN_PROGRESS",
  "DCS.4086": "OPERATION_UNSUPPORTED_BY_TARGET",
  "DCS.4096": "OPERATION_IN_PROGRESS",
  "DCS.4097": "OPERATION_IN_PROGRESS",
  "DCS.4100": "VENDOR_REFUSED_REQUEST",
  "DCS.4104": "OPERATION_IN_PROGRESS",
  "DCS.4108": "OPERATION_IN_PROGRESS",
  "DCS.4111": "OPERATION_IN_PROGRESS",
  "DCS.4113": "OPERATION_IN_PROGRESS",
  "DCS.4114": "OPERATION_IN_PROGRESS",
  "DCS.4115": "OPERATION_IN_PROGRESS",
  "DCS.4116": "OPERATION_IN_PROGRESS",
  "DCS.4117": "OPERATION_IN_PROGRESS",
  "DCS.4118": "OPERATION_IN_PROGRESS",
  "DCS.4120": "TARGET_STATE_FORBIDS",
  "DCS.4121": "OPERATION_IN_PROGRESS",
  "DCS.4201": "VENDOR_REFUSED_REQUEST",
  "DCS.4231": "OPERATION_IN_PROGRESS",
  "DCS.4975": "OPERATION_IN_PROGRESS",
  "CBC.99003651": "OPERATION_IN_PROGRESS",
  "DCS.1001": "VENDOR_CREDENTIALS_REJECTED",
  "DCS.1002": "VENDOR_CREDENTIALS_REJECTED",
  "DCS.1003": "VENDOR_CREDENTIALS_REJECTED",
  "DCS.1004": "VENDOR_CREDENTIALS_REJECTED",
  "DCS.2003": "VENDOR_PERMISSION_DENIED",
  "DCS.2007": "VENDOR_PERMISSION_DENIED",
  "DCS.3002": "VENDOR_PERMISSION_DENIED",
  "DCS.3003": "VENDOR_PERMISSION_DENIED",
  "DCS.3022": "TARGET_NOT_FOUND",
  "DCS.4001": "API_VERSION_NOT_SERVED",
  "DCS.5001": "VENDOR_REFUSED_REQUEST",
};

/** What it means of a request that may have changed something, where it is another thing: a fault proves no refusal. */
const FAULTS = ["DCS.5000", "DCS.5006", "DCS.5010", "DCS.5017", "DCS.5024", "DCS.5044", "DCS.5091", "DCS.5095"];

const answerOf = (status: number, json: unknown, headers: Record<string, string> = {}): Answer => ({
  status,
  json,
  text: JSON.stringify(json),
  headers,
});

const wireOf = (code: string, form: ErrorForm): Answer => {
  const { status, body } = dcsError(code, form);
  return answerOf(status, body, { "x-request-id": "r-1" });
};

const put = askedAbout(PROJECT, CLUSTER, true);
const get = askedAbout(PROJECT, CLUSTER, false);

describe("refusal()", () => {
  const codes = ERROR_ROWS.map(({ code }) => code);

  it("has a meaning in this test for every code of the simulator", () => {
    expect(codes.toSorted()).toEqual([...Object.keys(MEANING), ...FAULTS].toSorted());
  });

  describe.each(["code", "numeric", "v1.0"] as const)("of an error said as %s", (form) => {
    it.each(Object.entries(MEANING))("%s is %s, and changed nothing", (code, reason) => {
      const answer = wireOf(code, form);
      for (const asked of [put, get]) {
        const failure = refusal(answer, asked);
        expect(failure).toBeInstanceOf(Failure);
        expect(failure).toMatchObject({
          reason,
          outcome: "not_applied",
          metadata: {
            vendor: "dcs",
            vendor_code: expect.stringMatching(form === "code" ? code : /^(DCS\.|CBC\.|111)\d+$/),
            vendor_http_status: String(answer.status),
            vendor_request_id: "r-1",
          },
        });
        expect("state" in failure.metadata).toBe(reason === "OPERATION_IN_PROGRESS");
      }
    });

    it.each(FAULTS)("%s proves nothing of a request that may have changed something", (code) => {
      const answer = wireOf(code, form);
      expect(refusal(answer, put)).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown" });
      expect(refusal(answer, get)).toMatchObject({ reason: "VENDOR_INTERNAL_ERROR", outcome: "not_applied" });
    });
  });

  it("keeps a code that is in no table, and goes by the status", () => {
    const unknown = (status: number) => answerOf(status, { error_code: "DCS.4999", error_msg: "?" });
    expect(refusal(unknown(400), put)).toMatchObject({
      reason: "VENDOR_REFUSED_REQUEST",
      metadata: { vendor_code: "DCS.4999" },
    });
    expect(refusal(unknown(500), put)).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      metadata: { vendor_code: "DCS.4999" },
    });
  });

  it("goes by the code where an HTTP status says something else", () => {
    const conflict = answerOf(500, { error_code: "DCS.4111", error_msg: "" });
    expect(refusal(conflict, put)).toMatchObject({ reason: "OPERATION_IN_PROGRESS", outcome: "not_applied" });
    const missing = answerOf(400, { error_code: "111404022", error_msg: "" });
    expect(refusal(missing, get)).toMatchObject({ reason: "TARGET_NOT_FOUND" });
  });

  it("names the instance, and shows nothing of the vendor's text", () => {
    const answer = answerOf(404, { error_code: "DCS.3022", error_msg: "SECRET <html>" });
    const { message, details } = refusal(answer, get);
    expect(message).toBe(`project ${PROJECT}: instance ${CLUSTER} does not exist`);
    expect(details.map(({ value }) => value)).toEqual([
      { resourceType: "dcs/instances", resourceName: nameOf(CLUSTER) },
    ]);
  });

  it("says which permission is missing", () => {
    const answer = answerOf(403, { error_code: "DCS.2007", error_msg: "" });
    expect(refusal(answer, put).message).toContain("dcs:instance:modifyStatus");
    expect(refusal(answer, get).message).toContain("dcs:instance:get");
  });
});
