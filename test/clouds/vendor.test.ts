import { ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AnswerTooLarge, NoAnswer } from "../../src/clouds/http.ts";
import { answerAsCause, noAnswer, retryAfterMs, retryOf, vendorFailure } from "../../src/clouds/vendor.ts";
import { Failure, resourceInfo } from "../../src/core/errors.ts";

const said = { vendor: "arcgis", code: "498", status: 200, requestId: "r1" };
const asked = { vendor: "arcgis", place: "site gis", changes: true, metadata: { site: "gis" } };
const refused = Object.assign(new Error("connect ECONNREFUSED 10.0.0.1:443"), { code: "ECONNREFUSED" });

describe("vendorFailure()", () => {
  it("tells what the vendor said of itself, and nothing of what it did not", () => {
    const full = vendorFailure("VENDOR_CREDENTIALS_REJECTED", "no", said, { metadata: { site: "gis" } });
    expect(full.metadata).toEqual({
      site: "gis",
      vendor: "arcgis",
      vendor_code: "498",
      vendor_http_status: "200",
      vendor_request_id: "r1",
    });
    const bare = vendorFailure("VENDOR_BAD_RESPONSE", "no", { ...said, code: undefined, requestId: undefined });
    expect(bare.metadata).toEqual({ vendor: "arcgis", vendor_http_status: "200" });
    expect(bare.outcome).toBe("not_applied");
  });

  it("passes on no text that is meant to be a word and is none", () => {
    const { metadata } = vendorFailure("THROTTLED", "no", { ...said, code: "a\nb", requestId: "x".repeat(500) });
    expect(metadata).toEqual({ vendor: "arcgis", vendor_http_status: "200", vendor_request_id: "x".repeat(128) });
  });

  it("says when to come again, beside what else there is to say", () => {
    const { details } = vendorFailure(
      "THROTTLED",
      "no",
      { ...said, retryAfterMs: 1_500 },
      {
        details: [resourceInfo("a", "b")],
      },
    );
    expect(details).toHaveLength(2);
    expect(details[1]).toMatchObject({
      desc: RetryInfoSchema,
      value: { retryDelay: { seconds: 1n, nanos: 500_000_000 } },
    });
  });
});

describe("noAnswer()", () => {
  it.each([
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "VENDOR_BAD_RESPONSE", /name the authority's PEM file as ca/, 0],
    ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "VENDOR_BAD_RESPONSE", /name the authority's PEM file as ca/, 0],
    ["ERR_TLS_CERT_ALTNAME_INVALID", "VENDOR_BAD_RESPONSE", /a certificate for another host/, 0],
    ["CERT_HAS_EXPIRED", "VENDOR_BAD_RESPONSE", /a certificate that is not valid now/, 0],
    ["EMFILE", "QUEUE_FULL", /this server has no file, port or memory left/, 1],
    ["EADDRNOTAVAIL", "QUEUE_FULL", /this server has no file, port or memory left/, 1],
  ])("does not take %s for an outage", (code, reason, sentence, retries) => {
    const cause = Object.assign(new Error(code), { code });
    const failure = noAnswer(new NoAnswer(false, cause), asked);
    expect(failure).toMatchObject({ reason, outcome: "not_applied", metadata: { site: "gis", vendor: "arcgis" } });
    expect(failure.message).toMatch(sentence);
    expect(failure.details.filter(({ desc }) => desc === RetryInfoSchema)).toHaveLength(retries);
  });

  it("is UNAVAILABLE for what surely changed nothing", () => {
    for (const [error, changes] of [
      [new NoAnswer(false, refused), true],
      [new NoAnswer(true, refused), false],
      [refused, true],
    ] as const) {
      expect(noAnswer(error, { ...asked, changes })).toMatchObject({
        reason: "VENDOR_UNREACHABLE",
        outcome: "not_applied",
        message: "site gis: it cannot be reached (ECONNREFUSED)",
        metadata: { site: "gis", vendor: "arcgis" },
      });
    }
  });

  it("is unknown for a change that left", () => {
    expect(noAnswer(new NoAnswer(true, refused), asked)).toMatchObject({
      reason: "OUTCOME_UNKNOWN",
      outcome: "unknown",
      message:
        "site gis: the request left, and the connection ended without an answer (ECONNREFUSED); it is not sent again",
    });
  });

  it("is an answer that was not understood where there was more to read than is read", () => {
    const error = new NoAnswer(true, new AnswerTooLarge(200, 1_000));
    const metadata = { site: "gis", vendor: "arcgis", vendor_http_status: "200" };
    expect(noAnswer(error, { ...asked, changes: false })).toMatchObject({
      reason: "VENDOR_BAD_RESPONSE",
      outcome: "not_applied",
      message: "site gis: its answer is larger than any that is expected, and was not read",
      metadata,
      details: [],
    });
    expect(noAnswer(error, asked)).toMatchObject({ reason: "OUTCOME_UNKNOWN", outcome: "unknown", metadata });
  });

  it("passes on what is a failure already", () => {
    const failure = new Failure("THROTTLED", "no");
    expect(noAnswer(failure, asked)).toBe(failure);
    expect(noAnswer(new NoAnswer(false, failure), asked)).toBe(failure);
  });

  it("names the kind of an error and not its text", () => {
    const error = new NoAnswer(false, new ConnectError("https://host/?token=hunter2"));
    expect(noAnswer(error, asked).message).toBe("site gis: it cannot be reached (ConnectError)");
  });
});

describe("retryAfterMs()", () => {
  it.each([
    ["7", 7_000],
    ["0", 0],
    ["Fri, 20 Nov 2026 10:00:00 GMT", undefined],
    ["-1", undefined],
    [undefined, undefined],
  ])("%s is %s", (value, expected) => {
    expect(retryAfterMs({ headers: value === undefined ? {} : { "retry-after": value } })).toBe(expected);
  });
});

describe("retryAfterMs() of a date", () => {
  const date = "Sat, 21 Nov 2026 10:00:00 GMT";

  it.each([
    [{ "retry-after": "Sat, 21 Nov 2026 10:00:09 GMT", date }, 9_000],
    [{ "retry-after": date, date }, 0],
    [{ "retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", date }, undefined],
    [{ "retry-after": "-1", date }, undefined],
    [{ "retry-after": "soon", date }, undefined],
  ])("goes by the vendor's own clock: %o", (headers, expected) => {
    expect(retryAfterMs({ headers })).toBe(expected);
  });
});

describe("retryOf()", () => {
  const says = { headers: { "retry-after": "7" } };

  it.each([
    ["THROTTLED", says, 2_000, 7_000],
    ["THROTTLED", { headers: {} }, 2_000, 2_000],
    ["OPERATION_IN_PROGRESS", says, undefined, 7_000],
    ["OPERATION_IN_PROGRESS", { headers: {} }, undefined, undefined],
    ["TARGET_STATE_FORBIDS", says, undefined, 7_000],
    ["VENDOR_INTERNAL_ERROR", says, undefined, 7_000],
    ["VENDOR_REFUSED_REQUEST", says, undefined, undefined],
    ["TARGET_NOT_FOUND", says, undefined, undefined],
  ] as const)("%s, told %o, with %s by default: %s", (reason, answer, byDefault, expected) => {
    expect(retryOf(reason, answer, byDefault)).toBe(expected);
  });
});

describe("answerAsCause()", () => {
  it("keeps nothing of the text", () => {
    const answer = { status: 200, json: undefined, text: "token=hunter2", headers: { "content-type": "text/html" } };
    expect(answerAsCause(answer).message).toBe("HTTP 200: a body of 13 characters, type text/html");
  });
});
