import { inspect } from "node:util";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type Answer, NoAnswer } from "../../../src/clouds/http.ts";
import { failureOf, refusal, vendorWords, wantsNewToken } from "../../../src/clouds/huawei/errors.ts";
import type { CodeTable, RequestSubject } from "../../../src/clouds/huawei/rules.ts";
import { Failure, type Reason } from "../../../src/core/errors.ts";

const READ: RequestSubject = {
  service: "dcs",
  projectId: "p",
  what: "instance i",
  target: "projects/p/dcs/instances/i",
  changes: false,
};
const RESTART: RequestSubject = { ...READ, changes: true };

/** As a service's table is: one line for each thing that a code can decide. */
const CODES: CodeTable = [
  { codes: ["X.1", "1001"], reason: "OPERATION_IN_PROGRESS", says: "is restarting already" },
  { codes: ["X.2"], reason: "TARGET_NOT_FOUND", says: "does not exist" },
  { codes: ["X.3"], reason: "VENDOR_INTERNAL_ERROR", says: "made the service fail" },
  { codes: ["X.4"], reason: "VENDOR_INTERNAL_ERROR", says: "was not touched", provesRefusal: true },
  { codes: ["X.5"], statuses: [400], message: /frozen/, reason: "TARGET_STATE_FORBIDS", says: "is frozen" },
  { codes: ["X.6"], reason: "THROTTLED", says: ({ what }) => `too much was asked of ${what}`, retryMs: 2_000 },
];

const answer = (status: number, json?: unknown, headers: Answer["headers"] = {}): Answer => ({
  status,
  json,
  text: json === undefined ? "<html>" : JSON.stringify(json),
  headers,
});

const coded = (status: number, code: string, message = "m", headers: Answer["headers"] = {}): Answer =>
  answer(status, { error_code: code, error_msg: message }, headers);

const told = (failure: Failure) => [failure.reason, failure.outcome];

const retryMs = ({ details }: Failure): number | undefined => {
  const detail = details.find(({ desc }) => desc === RetryInfoSchema);
  const delay = detail === undefined ? undefined : create(RetryInfoSchema, detail.value).retryDelay;
  return delay === undefined ? undefined : Number(delay.seconds) * 1_000 + delay.nanos / 1_000_000;
};

describe("refusal() by the service's code", () => {
  it.each<[string, Answer, Reason]>([
    ["whatever the status is", coded(500, "X.1"), "OPERATION_IN_PROGRESS"],
    ["in another spelling", coded(400, "1001"), "OPERATION_IN_PROGRESS"],
    ["not found as a 401", coded(401, "X.2"), "TARGET_NOT_FOUND"],
    ["in a success", coded(200, "X.1"), "OPERATION_IN_PROGRESS"],
    ["of a fault that proves refusal", coded(500, "X.4"), "VENDOR_INTERNAL_ERROR"],
    ["with its status and message", coded(400, "X.5", "is frozen."), "TARGET_STATE_FORBIDS"],
  ])("decides %s", (_what, given, reason) => {
    expect(told(refusal(given, RESTART, CODES))).toEqual([reason, "not_applied"]);
  });

  it.each<[string, Answer]>([
    ["another status", coded(403, "X.5", "is frozen.")],
    ["another message", coded(400, "X.5", "is hot.")],
  ])("does not take a line for %s", (_what, given) => {
    expect(refusal(given, RESTART, CODES).reason).toBe(
      given.status === 403 ? "VENDOR_PERMISSION_DENIED" : "VENDOR_REFUSED_REQUEST",
    );
  });

  it("leaves the outcome of a stated fault open, unless it was a read", () => {
    expect(told(refusal(coded(500, "X.3"), RESTART, CODES))).toEqual(["OUTCOME_UNKNOWN", "unknown"]);
    expect(told(refusal(coded(500, "X.3"), READ, CODES))).toEqual(["VENDOR_INTERNAL_ERROR", "not_applied"]);
  });

  it("says which project and what it is about, and what its line says", () => {
    expect(refusal(coded(400, "X.1"), RESTART, CODES).message).toBe("project p: instance i is restarting already");
    expect(refusal(coded(429, "X.6"), RESTART, CODES).message).toBe("project p: too much was asked of instance i");
  });

  it("keeps what the vendor said of itself", () => {
    const given = coded(400, "X.1", "m", { "x-request-id": "r-1" });
    expect(refusal(given, RESTART, CODES).metadata).toEqual({
      project: "p",
      vendor: "dcs",
      vendor_code: "X.1",
      vendor_http_status: "400",
      vendor_request_id: "r-1",
    });
  });

  it("has the details of its reason", () => {
    const kinds = (given: Answer) => refusal(given, RESTART, CODES).details.map(({ desc }) => desc.name);
    expect(kinds(coded(404, "X.2"))).toEqual(["ResourceInfo"]);
    expect(kinds(coded(400, "X.5", "frozen"))).toEqual(["PreconditionFailure"]);
    expect(kinds(coded(400, "X.6"))).toEqual(["RetryInfo"]);
    const [resource] = refusal(coded(404, "X.2"), RESTART, CODES).details;
    expect(resource?.value).toMatchObject({ resourceType: "dcs/instances", resourceName: RESTART.target });
  });
});

describe("refusal() by the gateway's code", () => {
  it.each<[number, string, string, Reason]>([
    [404, "0101", "The API does not exist", "API_VERSION_NOT_SERVED"],
    [404, "0103", "The backend does not exist.", "VENDOR_INTERNAL_ERROR"],
    [400, "0105", "The backend configurations do not exist.", "VENDOR_INTERNAL_ERROR"],
    [400, "0106", "Orchestration error.", "VENDOR_REFUSED_REQUEST"],
    [400, "0201", "API request error.", "VENDOR_REFUSED_REQUEST"],
    [413, "0201", "Request entity too large.", "VENDOR_REFUSED_REQUEST"],
    [414, "0201", "Request URI too large.", "VENDOR_REFUSED_REQUEST"],
    [494, "0201", "Request headers too large.", "VENDOR_REFUSED_REQUEST"],
    [401, "0301", "verify aksk signature fail", "VENDOR_CREDENTIALS_REJECTED"],
    [401, "0303", "Incorrect app authentication information", "VENDOR_CREDENTIALS_REJECTED"],
    [401, "0307", "The token must be updated.", "VENDOR_CREDENTIALS_REJECTED"],
    [403, "0302", "The IAM user is not authorized to access the API.", "VENDOR_PERMISSION_DENIED"],
    [403, "0402", "The IP address is not authorized to access the API.", "VENDOR_PERMISSION_DENIED"],
    [403, "0802", "The IAM user is forbidden in the currently selected region", "VENDOR_PERMISSION_DENIED"],
    [429, "0308", "policy user over ratelimit,limit:XX,time:1 minute", "THROTTLED"],
    [503, "0613", "The IAM service is currently unavailable.", "VENDOR_UNREACHABLE"],
    [503, "0801", "The IAM service is currently unavailable.", "VENDOR_UNREACHABLE"],
  ])("decides HTTP %s APIGW.%s, %s", (status, code, message, reason) => {
    for (const name of ["APIGW", "APIG"]) {
      const failure = refusal(coded(status, `${name}.${code}`, message), RESTART, CODES);
      expect(told(failure)).toEqual([reason, "not_applied"]);
      expect(failure.metadata.vendor_code).toBe(`${name}.${code}`);
    }
  });

  it.each<[number, string]>([
    [502, "APIGW.0201"],
    [504, "APIGW.0201"],
    [502, "APIG.0202"],
    [504, "APIG.0203"],
    [500, "APIGW.0601"],
    [500, "APIGW.0705"],
    [503, "APIGW.0601"],
    [503, "APIGW.0999"],
  ])("does not take HTTP %s %s for a proof of refusal", (status, code) => {
    expect(told(refusal(coded(status, code), RESTART, CODES))).toEqual(["OUTCOME_UNKNOWN", "unknown"]);
    expect(told(refusal(coded(status, code), READ, CODES))).toEqual(["VENDOR_INTERNAL_ERROR", "not_applied"]);
  });

  it("takes the service's line before the gateway's", () => {
    const codes: CodeTable = [{ codes: ["APIGW.0301"], reason: "TARGET_NOT_FOUND", says: "is another's" }];
    expect(refusal(coded(401, "APIGW.0301"), READ, codes).reason).toBe("TARGET_NOT_FOUND");
  });

  it.each([
    [
      "calc ak sk signature fail:signature expired",
      "restartd's clock and Huawei Cloud's differ by more than 15 minutes (Huawei Cloud's shows 2026-11-21T10:00:00.000Z); set the clock of restartd's host",
    ],
    [
      "AK access failed to reach the limit,forbidden.",
      "the access key failed more than five times in a row, and is locked for 5 minutes; check it before then",
    ],
    [
      "Get secretKey failed,ak:AKAKAK,err:ak not exist",
      "there is no such access key; check access_key, and whether it belongs to this region",
    ],
    ["verify aksk signature fail", "the signature is wrong; check that secret_key belongs to access_key"],
    ["decrypt token fail", "the token cannot be read; it is not one for this region, or its account is in arrears"],
    ["something new", "check the project's credentials in the configuration"],
  ])("explains 0301 %s", (message, sentence) => {
    const given = coded(401, "APIGW.0301", `Incorrect IAM authentication information: ${message}`, {
      date: "Sat, 21 Nov 2026 10:00:00 GMT",
    });
    expect(refusal(given, READ, CODES).message).toBe(
      `project p: dcs does not accept restartd's own credentials: ${sentence}`,
    );
  });

  it("explains a token that is not for here", () => {
    expect(refusal(coded(401, "APIGW.0307"), READ, CODES).message).toMatch(/has expired, or is one of another region/);
  });
});

describe("refusal() by the status", () => {
  it.each<[number, Reason]>([
    [301, "UPSTREAM_REDIRECT"],
    [307, "UPSTREAM_REDIRECT"],
    [400, "VENDOR_REFUSED_REQUEST"],
    [401, "VENDOR_CREDENTIALS_REJECTED"],
    [403, "VENDOR_PERMISSION_DENIED"],
    [409, "CONFLICT"],
    [412, "TARGET_STATE_FORBIDS"],
    [415, "VENDOR_REFUSED_REQUEST"],
    [429, "THROTTLED"],
    [494, "VENDOR_REFUSED_REQUEST"],
  ])("takes HTTP %s for a refusal, with and without a code that nobody knows", (status, reason) => {
    expect(told(refusal(answer(status), RESTART, CODES))).toEqual([reason, "not_applied"]);
    const unknown = refusal(coded(status, "X.999"), RESTART, CODES);
    expect(told(unknown)).toEqual([reason, "not_applied"]);
    expect(unknown.metadata.vendor_code).toBe("X.999");
  });

  it.each([200, 202, 204, 408, 500, 502, 503, 504, 599])("leaves the outcome open at HTTP %s", (status) => {
    const failure = refusal(answer(status), RESTART, CODES);
    expect(told(failure)).toEqual(["OUTCOME_UNKNOWN", "unknown"]);
    expect(failure.code).toBe(Code.Unknown);
    const away = [502, 503, 504].includes(status);
    expect(told(refusal(answer(status), READ, CODES))).toEqual([
      status < 300 ? "VENDOR_BAD_RESPONSE" : away ? "VENDOR_UNREACHABLE" : "VENDOR_INTERNAL_ERROR",
      "not_applied",
    ]);
    expect(refusal(answer(status), READ, CODES).details.map(({ desc }) => desc.name)).toEqual(
      away ? ["RetryInfo"] : [],
    );
    const stated = status < 300 ? "VENDOR_BAD_RESPONSE" : "VENDOR_INTERNAL_ERROR";
    expect(refusal(coded(status, "DCS.5999"), READ, CODES).reason).toBe(stated);
  });

  it.each([
    ["dcs", "DCS.4922"],
    ["dcs", "111404099"],
    ["ddm", "DBS.289999"],
    ["cse", "SVCSTG.00509999"],
  ] as const)(
    "takes 404 and 410 for something that is missing only where it comes with a code of the service's: %s says %s",
    (service, code) => {
      for (const status of [404, 410]) {
        const change = { ...RESTART, service };
        expect(told(refusal(coded(status, code), change, CODES))).toEqual(["TARGET_NOT_FOUND", "not_applied"]);
        const job = { ...READ, service, missing: "JOB_NOT_FOUND" } as const;
        expect(refusal(coded(status, code), job, CODES).reason).toBe("JOB_NOT_FOUND");
      }
    },
  );

  it.each([
    ["nothing", answer(404)],
    ["another's code", coded(404, "NotFound")],
    ["a code of the gateway's that is not known", coded(404, "APIG.0999")],
    ["a code of another service's", coded(404, "IAM.0011")],
    ["a number for a code", coded(410, "404001")],
    ["a status for a code", { ...answer(410), json: { error: { message: "Not Found", code: 404 } } }],
    ["another's JSON", { ...answer(404), json: { type: "error", code: "NotFound", status: 404 } }],
  ])("takes a 404 with %s for something in front of the service, which knows of nothing there", (_what, given) => {
    for (const asked of [RESTART, READ]) {
      expect(told(refusal(given, asked, CODES))).toEqual(["VENDOR_BAD_RESPONSE", "not_applied"]);
    }
    expect(refusal(given, READ, CODES).message).toContain("something in front of it answered; check endpoints.dcs");
  });

  it("never makes restartd's own credentials the caller's", () => {
    expect(refusal(answer(401), READ, CODES).code).toBe(Code.Internal);
  });
});

describe("refusal() with Retry-After", () => {
  const date = "Sat, 21 Nov 2026 10:00:00 GMT";

  it.each<[string, Answer["headers"], number]>([
    ["seconds", { "retry-after": "7" }, 7_000],
    ["a date, by the vendor's own clock", { "retry-after": "Sat, 21 Nov 2026 10:00:09 GMT", date }, 9_000],
    ["a date without a clock", { "retry-after": "Sat, 21 Nov 2026 10:00:09 GMT" }, 5_000],
    ["a date that has passed", { "retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", date }, 5_000],
    ["nonsense", { "retry-after": "soon", date }, 5_000],
    ["none", {}, 5_000],
  ])("waits for %s", (_what, headers, expected) => {
    expect(retryMs(refusal(coded(429, "APIGW.0308", "m", headers), RESTART, CODES))).toBe(expected);
    expect(retryMs(refusal(answer(429, undefined, headers), RESTART, CODES))).toBe(expected);
  });

  it("passes on how long something else takes", () => {
    const headers = { "retry-after": "7" };
    expect(retryMs(refusal(coded(400, "X.1", "m", headers), RESTART, CODES))).toBe(7_000);
    expect(retryMs(refusal(answer(503, undefined, headers), READ, CODES))).toBe(7_000);
    expect(retryMs(refusal(answer(503, undefined, headers), RESTART, CODES))).toBeUndefined();
  });

  it("says nothing of it where waiting does not help", () => {
    expect(retryMs(refusal(answer(400, undefined, { "retry-after": "7" }), RESTART, CODES))).toBeUndefined();
  });
});

describe("a refusal's words", () => {
  const secret = "hunter2-the-secret";
  const quoting = answer(
    400,
    { error_code: "X.9", error_msg: `wrong: ${secret}`, detail: secret, request_id: "r-2" },
    { "x-request-id": `two words ${secret}` },
  );
  const shown = ({ message, metadata, details, cause }: Failure): string =>
    inspect([message, metadata, details.map(({ value }) => value), String(cause)], { depth: null });

  it("hold nothing of the vendor's text, nor of what looks like no id", () => {
    expect(shown(refusal(quoting, RESTART, CODES))).not.toContain(secret);
    expect(shown(refusal({ ...quoting, status: 500 }, RESTART, CODES))).not.toContain(secret);
  });

  it("would show it: the look above can fail", () => {
    expect(shown(new Failure("INTERNAL", quoting.text))).toContain(secret);
  });
});

describe("vendorWords()", () => {
  it.each<[string, unknown, string | undefined, string]>([
    ["the gateway and DCS", { error_code: "DCS.4111", error_msg: "m", error_ext_msg: null }, "DCS.4111", "m"],
    ["CSE's reads", { errorCode: "SVCSTG.1", errorMessage: "m", detail: "d" }, "SVCSTG.1", "m"],
    ["DDM", { errCode: "DBS.280001", externalMessage: "m" }, "DBS.280001", "m"],
    ["DCS 1.0", { error: { code: "111404022", message: "m" } }, "111404022", "m"],
    ["Keystone", { error: { code: 401, message: "m", title: "t" } }, "401", "m"],
    ["a number", { error_code: 111400111 }, "111400111", ""],
    ["an empty code", { error_code: "" }, undefined, ""],
    ["DDM beside an empty shape", { errCode: "D.1", externalMessage: "m", error_code: "", error_msg: "" }, "D.1", "m"],
    ["the gateway beside an empty shape", { errCode: "", error_code: "APIG.0301" }, "APIG.0301", ""],
    ["an object for a code", { error_code: {} }, undefined, ""],
    ["a list", [], undefined, ""],
    ["null", null, undefined, ""],
    ["HTML", undefined, undefined, ""],
  ])("reads %s", (_shape, json, code, message) => {
    expect(vendorWords(answer(400, json))).toEqual({ code, message });
  });
});

describe("wantsNewToken()", () => {
  it.each<[boolean, Answer]>([
    [true, coded(401, "APIGW.0301")],
    [true, coded(401, "APIG.0307")],
    [true, coded(401, "DCS.1002")],
    [true, coded(401, "111401002")],
    [true, answer(401)],
    [false, coded(401, "SVCSTG.00401116")],
    [false, coded(401, "APIGW.0303")],
    [false, coded(403, "APIGW.0301")],
    [false, answer(200)],
  ])("%s of %o", (wants, given) => {
    expect(wantsNewToken(given)).toBe(wants);
  });
});

describe("failureOf()", () => {
  const refused = Object.assign(new Error("connect"), { code: "ECONNREFUSED" });
  const reset = Object.assign(new Error("socket"), { code: "ECONNRESET" });
  const timeout = Object.assign(new Error("headers"), { code: "UND_ERR_HEADERS_TIMEOUT" });

  it.each<[string, RequestSubject, NoAnswer, Reason, Code]>([
    ["nothing left", RESTART, new NoAnswer(false, refused), "VENDOR_UNREACHABLE", Code.Unavailable],
    ["a read had no answer", READ, new NoAnswer(true, reset), "VENDOR_UNREACHABLE", Code.Unavailable],
    ["a read had no answer in time", READ, new NoAnswer(true, timeout), "VENDOR_UNREACHABLE", Code.Unavailable],
    ["a change had no answer", RESTART, new NoAnswer(true, reset), "OUTCOME_UNKNOWN", Code.Unknown],
    ["a change had no answer in time", RESTART, new NoAnswer(true, timeout), "OUTCOME_UNKNOWN", Code.DeadlineExceeded],
  ])("tells that %s", (_what, asked, error, reason, code) => {
    const failure = failureOf(error, asked);
    expect([failure.reason, failure.code]).toEqual([reason, code]);
    expect(failure.outcome).toBe(reason === "OUTCOME_UNKNOWN" ? "unknown" : "not_applied");
    expect(failure.metadata).toEqual({ project: "p", vendor: "dcs" });
  });

  it("passes on why there are no credentials", () => {
    const failure = new Failure("VENDOR_CREDENTIALS_REJECTED", "m");
    expect(failureOf(new NoAnswer(false, failure), RESTART)).toBe(failure);
    expect(failureOf(failure, RESTART)).toBe(failure);
  });
});
