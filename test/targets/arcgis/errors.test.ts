import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Answer } from "../../../src/clouds/http.ts";
import { encodeReply, type VendorReply } from "../../../src/clouds/simulator/exchange.ts";
import type { Reason } from "../../../src/core/errors.ts";
import { errorOf, failureOf, type RequestSubject, refusesToken } from "../../../src/targets/arcgis/errors.ts";
import { replies } from "../../../src/targets/arcgis/simulator.ts";

const read: RequestSubject = {
  site: "gis",
  what: "deployment k1",
  changes: false,
  resource: { type: "arcgis.deployment", name: "sites/gis/deployments/k1", missing: "TARGET_NOT_FOUND" },
};
const submit: RequestSubject = { ...read, changes: true };
const run: RequestSubject = { ...submit, runs: true };
const token: RequestSubject = {
  ...read,
  what: "a token",
  resource: { type: "arcgis.site", name: "sites/gis", missing: "VENDOR_BAD_RESPONSE" },
};

function answerOf(reply: VendorReply): Answer {
  const { status, headers, body } = encodeReply(reply);
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    json = undefined;
  }
  return { status, headers, json, text: body };
}

const { errorReply, httpError } = replies;
const UNKNOWN = "OUTCOME_UNKNOWN";

/** What it is on a read, on a refresh that is submitted, and on one that runs before it is answered. */
const TABLE: readonly [what: string, reply: VendorReply, onRead: Reason, onSubmit: Reason, onRun: Reason][] = [
  ["498", replies.invalidToken("portal"), ...thrice("VENDOR_CREDENTIALS_REJECTED")],
  ["498 of the server's shape", replies.invalidToken("server"), ...thrice("VENDOR_CREDENTIALS_REJECTED")],
  ["499", replies.tokenRequired("portal"), ...thrice("VENDOR_CREDENTIALS_REJECTED")],
  ["499 of the server's shape", replies.tokenRequired("server"), ...thrice("VENDOR_CREDENTIALS_REJECTED")],
  ["498 in an HTTP 500", errorReply("portal", 498, "Invalid", 500), ...thrice("VENDOR_CREDENTIALS_REJECTED")],
  ["HTTP 401", httpError(401, "empty"), ...thrice("VENDOR_CREDENTIALS_REJECTED")],
  ["403", replies.forbidden("portal"), ...thrice("VENDOR_PERMISSION_DENIED")],
  ["403 of the server's shape", replies.forbidden("server"), ...thrice("VENDOR_PERMISSION_DENIED")],
  [
    "a missing permission without a code",
    replies.forbiddenWithoutCode("portal"),
    ...thrice("VENDOR_PERMISSION_DENIED"),
  ],
  ["HTTP 403 with JSON", httpError(403, "json"), ...thrice("VENDOR_PERMISSION_DENIED")],
  ["HTTP 403 with HTML", httpError(403, "html"), ...thrice("VENDOR_PERMISSION_DENIED")],
  ["HTTP 403 without a body", httpError(403, "empty"), ...thrice("VENDOR_PERMISSION_DENIED")],
  ["400", errorReply("portal", 400, "Bad"), ...thrice("VENDOR_REFUSED_REQUEST")],
  ["400 as a text", { status: 200, body: { error: { code: "400" } } }, ...thrice("VENDOR_REFUSED_REQUEST")],
  ["404", errorReply("portal", 404, "Missing"), ...thrice("TARGET_NOT_FOUND")],
  ["404 of the server's shape", errorReply("server", 404, "Missing"), ...thrice("TARGET_NOT_FOUND")],
  ["HTTP 404 with HTML", httpError(404, "html"), ...thrice("VENDOR_BAD_RESPONSE")],
  ["HTTP 404 without a body", httpError(404, "empty"), ...thrice("VENDOR_BAD_RESPONSE")],
  ["another's 404", { status: 404, body: { status: 404, error: "Not Found" } }, ...thrice("VENDOR_BAD_RESPONSE")],
  [
    "an application gateway's 404",
    { status: 404, body: { error: { code: "ResourceNotFound", message: "not found" } } },
    ...thrice("VENDOR_BAD_RESPONSE"),
  ],
  ["another's 410", { status: 410, body: { type: "error", code: "Gone" } }, ...thrice("VENDOR_BAD_RESPONSE")],
  ["409", errorReply("server", 409, "Busy"), ...thrice("CONFLICT")],
  ["412", errorReply("server", 412, "State"), ...thrice("TARGET_STATE_FORBIDS")],
  ["HTTP 429", httpError(429, "empty"), ...thrice("THROTTLED")],
  ["HTTP 418", httpError(418, "empty"), ...thrice("VENDOR_REFUSED_REQUEST")],
  ["450", errorReply("portal", 450, "?"), ...thrice("VENDOR_REFUSED_REQUEST")],
  ["an unknown code in an HTTP 403", errorReply("portal", 7, "?", 403), ...thrice("VENDOR_PERMISSION_DENIED")],
  ["a redirect", replies.signInRedirect, ...thrice("UPSTREAM_REDIRECT")],
  ["500", errorReply("portal", 500, "Oops"), "VENDOR_INTERNAL_ERROR", UNKNOWN, UNKNOWN],
  ["HTTP 500 with JSON", httpError(500, "json"), "VENDOR_INTERNAL_ERROR", UNKNOWN, UNKNOWN],
  ["HTTP 502 with HTML", httpError(502, "html"), "VENDOR_UNREACHABLE", UNKNOWN, UNKNOWN],
  ["HTTP 503 without a body", httpError(503, "empty"), "VENDOR_UNREACHABLE", UNKNOWN, UNKNOWN],
  ["HTTP 408", httpError(408, "empty"), "VENDOR_INTERNAL_ERROR", UNKNOWN, UNKNOWN],
  ["a page", replies.signInPage, "VENDOR_BAD_RESPONSE", UNKNOWN, UNKNOWN],
  ["nothing", { status: 200 }, "VENDOR_BAD_RESPONSE", UNKNOWN, UNKNOWN],
  ["an array", { status: 200, body: [] }, "VENDOR_BAD_RESPONSE", UNKNOWN, UNKNOWN],
  ["an error without a code", replies.failedWithoutCode(), "VENDOR_REPORTED_FAILED", "VENDOR_REPORTED_FAILED", UNKNOWN],
  ["failed", replies.failedWithoutCode("failed"), "VENDOR_REPORTED_FAILED", "VENDOR_REPORTED_FAILED", UNKNOWN],
  ["an unknown code", errorReply("portal", 7, "?"), "VENDOR_REPORTED_FAILED", "VENDOR_REPORTED_FAILED", UNKNOWN],
  [
    "a text for an error",
    { status: 200, body: { error: "x" } },
    "VENDOR_REPORTED_FAILED",
    "VENDOR_REPORTED_FAILED",
    UNKNOWN,
  ],
];

function thrice(reason: Reason): [Reason, Reason, Reason] {
  return [reason, reason, reason];
}

describe("failureOf()", () => {
  it.each(TABLE)("judges %s", (_what, reply, onRead, onSubmit, onRun) => {
    const answer = answerOf(reply);
    const judged = [read, submit, run].map((asked) => failureOf(answer, asked));
    expect(judged.map((failure) => failure?.reason)).toEqual([onRead, onSubmit, onRun]);
    for (const failure of judged) {
      expect(failure?.outcome).toBe(failure?.reason === UNKNOWN ? "unknown" : "not_applied");
      expect(failure?.metadata).toMatchObject({
        site: "gis",
        vendor: "arcgis",
        vendor_http_status: String(reply.status),
      });
      expect(failure?.message).toMatch(/^site gis: /);
    }
  });

  it("leaves a success to whoever asked for it", () => {
    expect(failureOf(answerOf({ status: 200, body: { status: "success" } }), run)).toBeUndefined();
    expect(failureOf(answerOf({ status: 200, body: { error: null, deployments: [] } }), read)).toBeUndefined();
  });

  it("takes a failed job for what it is: no error of the request", () => {
    for (const status of ["FAILED", "failed"]) {
      expect(errorOf({ json: { jobid: "j1", status } })).toBeUndefined();
    }
    expect(errorOf({ json: { status: "failed" } })).toEqual({ code: undefined, denied: false, words: "" });
  });

  it("keeps the vendor's code, and says when to come again and what it is about", () => {
    const unknown = failureOf(answerOf(errorReply("portal", 450, "?")), submit);
    expect(unknown?.metadata).toMatchObject({ vendor_code: "450" });
    const throttled = failureOf(answerOf({ status: 429, headers: { "retry-after": "7" } }), submit);
    expect(throttled?.details.map(({ value }) => value)).toMatchObject([{ retryDelay: { seconds: 7n } }]);
    const away = { status: 503, headers: { "retry-after": "9" } };
    expect(failureOf(answerOf(away), read)?.details.map(({ value }) => value)).toMatchObject([
      { retryDelay: { seconds: 9n } },
    ]);
    expect(failureOf(answerOf(away), submit)?.details).toEqual([]);
    const missing = failureOf(answerOf(errorReply("portal", 404, "Missing")), read);
    expect(missing?.details.map(({ value }) => value)).toEqual([
      { resourceType: "arcgis.deployment", resourceName: "sites/gis/deployments/k1" },
    ]);
    expect(missing?.message).toBe("site gis: deployment k1 does not exist");
    expect(failureOf(answerOf(httpError(404, "html")), token)?.message).toBe(
      "site gis: what answered about a token is not ArcGIS and has nothing at its address; check admin_url and token_url of arcgis.sites",
    );
  });

  it("never passes on what the vendor wrote", () => {
    const answer = answerOf(errorReply("portal", 400, "hunter2"));
    const failure = failureOf(answer, submit);
    expect(JSON.stringify([failure?.message, failure?.metadata, String(failure?.cause)])).not.toContain("hunter2");
  });

  it.each([
    ["a wrong password", replies.wrongPassword, "VENDOR_CREDENTIALS_REJECTED"],
    ["an error without a code", errorReply("portal", undefined, "Unable"), "VENDOR_CREDENTIALS_REJECTED"],
    ["HTTP 401", httpError(401, "html"), "VENDOR_CREDENTIALS_REJECTED"],
    ["HTTP 404", httpError(404, "html"), "VENDOR_BAD_RESPONSE"],
    ["HTTP 503", httpError(503, "html"), "VENDOR_UNREACHABLE"],
    ["a page", replies.signInPage, "VENDOR_BAD_RESPONSE"],
    ["a redirect", replies.signInRedirect, "UPSTREAM_REDIRECT"],
    ["too many requests", httpError(429, "empty"), "THROTTLED"],
  ] as const)("judges %s in the place of a token", (_what, reply, reason) => {
    expect(failureOf(answerOf(reply), token, "token")?.reason).toBe(reason);
  });
});

describe("what sends the operator the right way", () => {
  const tokenError = (message: string, ...details: string[]) =>
    replyOf({ error: { code: 400, message: "Unable to generate token.", details: [message, ...details] } });
  const replyOf = (body: Record<string, unknown>) => ({ status: 200, body });
  const challenge = (value: string) => ({
    status: 401,
    headers: { "www-authenticate": value },
    body: "<html>401</html>",
  });

  it.each([
    ["a second factor", tokenError("User has multifactor authentication enabled."), /second factor \(MFA\)/],
    [
      "a lockout",
      tokenError("Too many invalid log in attempts.", "Try again later."),
      /locked .* after too many failed/,
    ],
    ["a locked account", tokenError("Your account is locked out."), /locked .* after too many failed/],
    ["a password that has expired", tokenError("Your password has expired."), /password .* has expired/],
    ["a wrong password", replies.wrongPassword, /has to correct user name and password/],
    ["Windows authentication", challenge("Negotiate, NTLM"), /sign-in of the web server in front of it.*\(Negotiate\)/],
    ["basic authentication", challenge('Basic realm="gis"'), /\(Basic\)$/],
    ["a page", replies.signInPage, /web page: a sign-in of the web server in front of it/],
    [
      "a redirect to a sign-in",
      replies.signInRedirect,
      /redirect.*leads to a sign-in of the web server in front of it/,
    ],
  ])("tells %s in the place of a token", (_what, reply, sentence) => {
    const failure = failureOf(answerOf(reply), token, "token");
    expect(failure?.message).toMatch(sentence);
    expect(failure?.details.filter(({ desc }) => desc === RetryInfoSchema)).toEqual([]);
  });

  it("does not take a page of something else for a sign-in, nor words about something else for a lock", () => {
    const gone = { status: 404, headers: { "content-type": "text/html" }, body: "<html>Log in</html>" };
    expect(failureOf(answerOf(gone), token, "token")?.message).not.toMatch(/sign-in/);
    const blocked = tokenError("The block of this user is unknown.");
    expect(failureOf(answerOf(blocked), token, "token")?.message).toMatch(/correct user name and password/);
  });
});

describe("refusesToken()", () => {
  it("is for 498 and 499 alone, in whatever shape", () => {
    const refused = [
      replies.invalidToken("portal"),
      replies.invalidToken("server"),
      replies.tokenRequired("portal"),
      replies.tokenRequired("server"),
      httpError(498, "empty"),
      httpError(499, "html"),
      errorReply("portal", 498, "Invalid", 401),
    ];
    expect(refused.map(answerOf).map(refusesToken)).toEqual(refused.map(() => true));
    const others = [replies.forbidden("portal"), httpError(401, "empty"), httpError(500, "json"), { status: 200 }];
    expect(others.map(answerOf).map(refusesToken)).toEqual(others.map(() => false));
  });
});
