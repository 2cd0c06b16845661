import { Code, ConnectError } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type Answer, NoAnswer } from "../../../src/clouds/http.ts";
import { Failure } from "../../../src/core/errors.ts";
import { asCredentialsError } from "../../../src/targets/kubernetes/cluster/credentials-error.ts";
import {
  asCause,
  failureOfRead,
  isGuardRefusal,
  type RequestSubject,
  refusalOf,
  unreachable,
} from "../../../src/targets/kubernetes/errors.ts";

const asked: RequestSubject = {
  cluster: "c",
  verb: "patch",
  what: "deployments.apps/shop/web",
  ref: { cluster: "c", group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "web" },
};

const text = (status: number, body: string, headers: Answer["headers"] = {}): Answer => ({
  status,
  json: undefined,
  text: body,
  headers,
});

const status = (code: number, message: string, more: object = {}): Answer => {
  const json = { kind: "Status", status: "Failure", message, code, ...more };
  return { status: code, json, text: JSON.stringify(json), headers: {} };
};

describe("refusalOf()", () => {
  it.each([
    ["502", text(502, "<html>")],
    ["503", text(503, "service unavailable")],
    ["504", text(504, "")],
    ["500 of etcd", status(500, "etcdserver: request timed out")],
    ["500 ServerTimeout", status(500, "try again", { reason: "ServerTimeout" })],
    ["408", text(408, "")],
    ["200", text(200, "ok")],
    ["a 422 of which nothing is said", status(422, "the server rejected our request due to an error in our request")],
    ["500 that mentions a webhook without naming it", status(500, "failed calling webhook")],
  ])("knows that %s proves nothing", (_what, answer) => {
    expect(refusalOf(answer, asked)).toBeUndefined();
  });

  it.each([
    [404, { details: { name: "web" } }, "TARGET_NOT_FOUND"],
    [404, { details: {} }, "API_VERSION_NOT_SERVED"],
    [404, {}, "API_VERSION_NOT_SERVED"],
    [410, {}, "TARGET_NOT_FOUND"],
    [401, {}, "CLUSTER_CREDENTIALS_REJECTED"],
    [405, {}, "RESTART_NOT_SUPPORTED"],
    [415, {}, "VENDOR_REFUSED_REQUEST"],
  ])("judges %i with %j", (code, more, reason) => {
    expect(refusalOf(status(code, "whatever", more), asked)?.reason).toBe(reason);
  });

  it.each([
    [
      "patch",
      'deployments.apps "web" is forbidden: User "alice" cannot patch resource "deployments" in API group "apps"',
      "RBAC_DENIED",
    ],
    [
      "impersonate",
      'User "eve" cannot impersonate-on:user-info:patch resource "deployments" in API group "apps"',
      "IMPERSONATION_DENIED",
    ],
    [
      "patch, under a name that says otherwise",
      String.raw`deployments.apps "web" is forbidden: User "oidc:a\" cannot impersonate: User \"b" cannot patch resource "deployments" in API group "apps"`,
      "RBAC_DENIED",
    ],
    [
      "impersonate somebody whose name says otherwise",
      String.raw`users "a\": User \"b\" cannot patch resource \"c" is forbidden: User "r" cannot impersonate resource "users" in API group "" at the cluster scope`,
      "IMPERSONATION_DENIED",
    ],
    ["anything", 'deployments.apps "web" is forbidden: exceeded quota: q', "ADMISSION_DENIED"],
  ])("tells three kinds of 403 apart: may not %s", (_what, message, reason) => {
    expect(refusalOf(status(403, message, { reason: "Forbidden" }), asked)?.reason).toBe(reason);
  });

  it.each([
    ["seconds", { "retry-after": "12" }, 12n],
    ["none", {}, 1n],
    ["a date", { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }, 1n],
    ["nonsense", { "retry-after": "-3" }, 1n],
    ["a number beyond reason", { "retry-after": "999999999" }, 1n],
  ])("takes Retry-After as %s", (_what, headers, seconds) => {
    const failure = refusalOf(text(429, "Too many requests, please try again later.", headers), asked);
    const retry = failure?.details.find(({ desc }) => desc === RetryInfoSchema);
    expect(retry?.value).toEqual({ retryDelay: { seconds, nanos: 0 } });
  });

  it("shows a request's id and a Status's reason, never its message", () => {
    const answer = { ...status(409, "secret", { reason: "Conflict" }), headers: { "audit-id": "a-1" } };
    const failure = refusalOf(answer, asked);
    expect(failure?.metadata).toEqual({
      cluster: "c",
      vendor: "kubernetes",
      vendor_http_status: "409",
      vendor_code: "Conflict",
      vendor_request_id: "a-1",
    });
    expect(failure?.message).toBe(
      "cluster c: deployments.apps/shop/web was changed at the same time; the restart was not applied",
    );
  });
});

describe("isGuardRefusal()", () => {
  it.each([
    [
      "a failed test",
      status(422, "the server rejected our request due to an error in our request", { details: {} }),
      true,
    ],
    ["an invalid object", status(422, "invalid", { details: { causes: [{ field: "spec.x" }] } }), false],
    ["a webhook", status(422, 'admission webhook "v" denied the request: no', { reason: "Invalid" }), false],
    ["a policy", status(422, "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"), false],
    ["a conflict", status(409, "conflict"), false],
  ])("%s: %j", (_what, answer, expected) => {
    expect(isGuardRefusal(answer)).toBe(expected);
  });
});

describe("asCause()", () => {
  const secret = "s3cr3t";
  it.each([
    [
      "an object's text",
      text(200, `{"metadata":{"annotations":{"a":"${secret}"}}`, { "content-type": "application/json" }),
    ],
    ["an invalid value", status(422, ` "" is invalid: patch: Invalid value: "{${secret}}": strict decoding error`)],
    ["an unsupported value", status(422, `x: Unsupported value: "${secret}": supported values: a`)],
    ["a value over lines", status(422, `x: Invalid value: "a\n${secret}\n": no`)],
    [
      "a field's own words",
      status(422, `x: Not found: "${secret}"`, { details: { causes: [{ field: "x", reason: "FieldValueNotFound" }] } }),
    ],
  ])("keeps %s out of the log", (_what, answer) => {
    expect(asCause(answer).message).not.toContain(secret);
    expect(asCause(answer).message).toMatch(new RegExp(`^HTTP ${answer.status}: .`));
  });

  it("keeps what helps", () => {
    const fields = [
      { field: "spec.a", reason: "FieldValueInvalid" },
      { field: "spec.b", reason: "FieldValueRequired" },
    ];
    const invalid = status(422, `invalid: ${secret}`, { details: { causes: fields } });
    expect(asCause(invalid).message).toBe("HTTP 422: spec.a: FieldValueInvalid, spec.b: FieldValueRequired");
    expect(asCause(status(500, "etcdserver: no leader")).message).toBe("HTTP 500: etcdserver: no leader");
  });
});

describe("failureOfRead()", () => {
  it.each([
    ["a failure", new Failure("CANCELLED", "x"), "CANCELLED"],
    ["no answer", new NoAnswer(true, Object.assign(new Error("x"), { code: "ECONNRESET" })), "CLUSTER_UNREACHABLE"],
    ["a caller who left", new NoAnswer(true, new ConnectError("the client went away", Code.Canceled)), "CANCELLED"],
    ["a deadline", new NoAnswer(true, new ConnectError("it has passed", Code.DeadlineExceeded)), "DEADLINE_EXCEEDED"],
    ["a refusal", status(401, "Unauthorized"), "CLUSTER_CREDENTIALS_REJECTED"],
    ["a page", text(200, "<html>"), "VENDOR_BAD_RESPONSE"],
    ["422", status(422, "odd"), "VENDOR_BAD_RESPONSE"],
    ["403 of a proxy", text(403, "<html>"), "VENDOR_BAD_RESPONSE"],
    ["404 of a proxy", text(404, "<html>"), "VENDOR_BAD_RESPONSE"],
    ["404 in plain text", text(404, "404 page not found\n"), "API_VERSION_NOT_SERVED"],
    ["429 of a proxy", text(429, "<html>"), "THROTTLED"],
    ["500 of a proxy", text(500, "<html>"), "VENDOR_INTERNAL_ERROR"],
    ["502", text(502, ""), "CLUSTER_UNREACHABLE"],
    ["504", text(504, ""), "CLUSTER_UNREACHABLE"],
    ["503", text(503, ""), "CLUSTER_NOT_READY"],
    ["500", status(500, "etcdserver: no leader"), "VENDOR_INTERNAL_ERROR"],
  ])("of %s", (_what, evidence, reason) => {
    const failure = failureOfRead(evidence, { ...asked, verb: "get" });
    expect([failure.reason, failure.outcome]).toEqual([reason, "not_applied"]);
  });
});

describe("unreachable()", () => {
  it.each([
    ["a connection", Object.assign(new Error("connect"), { code: "EMFILE" })],
    ["a file of credentials", asCredentialsError(Object.assign(new Error("open"), { code: "ENFILE" }))],
  ])("blames neither the cluster nor the credentials where this machine has no file left for %s", (_what, cause) => {
    const failure = unreachable(new NoAnswer(false, cause), asked);
    expect(failure).toMatchObject({ reason: "QUEUE_FULL", outcome: "not_applied", metadata: { cluster: "c" } });
    expect(failure.details.some(({ desc }) => desc === RetryInfoSchema)).toBe(true);
  });

  it("names the nature of what happened, without addresses", () => {
    const cause = Object.assign(new Error("connect ECONNREFUSED 10.1.2.3:6443"), { code: "ECONNREFUSED" });
    expect(unreachable(new NoAnswer(false, cause), asked).message).toBe(
      "cluster c: its API server cannot be reached (ECONNREFUSED)",
    );
    expect(unreachable("odd", asked).message).toBe("cluster c: its API server cannot be reached (unknown)");
  });
});
