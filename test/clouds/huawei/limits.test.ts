import { readFileSync, symlinkSync, unlinkSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { SecretSchema } from "../../../gen/restart/config/v1/secret_pb.ts";
import type { Answer } from "../../../src/clouds/http.ts";
import type { KeySettings } from "../../../src/clouds/huawei/config.ts";
import { refusal } from "../../../src/clouds/huawei/errors.ts";
import type { RequestSubject } from "../../../src/clouds/huawei/rules.ts";
import { gatewayError, keystoneError } from "../../../src/clouds/huawei/simulator/replies.ts";
import { encodeReply, htmlReply, type VendorReply } from "../../../src/clouds/simulator/exchange.ts";
import type { Failure } from "../../../src/core/errors.ts";
import { readSecret } from "../../../src/core/secret.ts";
import { loopbackCertificates } from "../../support/cluster-client.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { byPassword, startScene } from "./support.ts";

const asksToRetry = ({ details }: Failure): boolean => details.some(({ desc }) => desc === RetryInfoSchema);

describe("a token of 17,000 bytes", () => {
  it("is taken from IAM, and used", async () => {
    await using scene = await startScene({ account: { tokenLength: 17_000 }, credentials: byPassword });
    expect((await scene.send()).status).toBe(200);
    expect((await scene.send({ method: "PUT", body: {} })).status).toBe(200);
    expect(scene.service.requests[0]?.headers["x-auth-token"]?.length).toBeGreaterThanOrEqual(17_000);
    expect(scene.iam.requests).toHaveLength(1);
  });

  it("is no outage where a service takes no such headers", async () => {
    await using scene = await startScene({ credentials: byPassword });
    for (const answer of [{ status: 431 }, gatewayError(494, "0201", "Request header too large.")]) {
      scene.service.inject({ answer });
      const failure = await scene.failure({ method: "PUT", body: {} });
      expect(failure).toMatchObject({ reason: "VENDOR_REFUSED_REQUEST", outcome: "not_applied" });
      expect(failure.message).toMatch(/a token is as long as its user has roles/);
    }
  });
});

describe("an answer whose head is larger than any that is read", () => {
  const tooLarge: VendorReply = { status: 201, headers: { "x-subject-token": "t".repeat(300_000) } };

  it("is no outage of IAM's", async () => {
    await using scene = await startScene({ credentials: byPassword });
    scene.iam.inject({ answer: tooLarge });
    const failure = await scene.failure();
    expect([failure.reason, asksToRetry(failure)]).toEqual(["VENDOR_BAD_RESPONSE", false]);
    expect(failure.message).toMatch(/the answer of IAM is larger than any/);
  });

  it("leaves open what a change did", async () => {
    await using scene = await startScene();
    scene.service.inject({ answer: tooLarge });
    expect(await scene.failure({ method: "PUT", body: {} })).toMatchObject({ reason: "OUTCOME_UNKNOWN" });
  });
});

describe("a certificate of an unknown authority", () => {
  it("is told of IAM too, with what to do, and without asking to try again", async () => {
    const { certified } = loopbackCertificates();
    await using scene = await startScene({ tls: certified, credentials: byPassword });
    const failure = await scene.failure();
    expect([failure.reason, asksToRetry(failure)]).toEqual(["VENDOR_BAD_RESPONSE", false]);
    expect(failure.message).toMatch(/: IAM shows a certificate .* name the authority's PEM file as ca/);
  });

  it("is told apart from an address that does not speak TLS", async () => {
    await using scene = await startScene();
    await using other = await startScene({
      settings: { endpoints: { cse: "", ddm: "", dcs: scene.service.url.replace("http:", "https:") } },
    });
    const failure = await other.failure({ method: "PUT", body: {} });
    expect([failure.reason, failure.outcome, asksToRetry(failure)]).toEqual([
      "VENDOR_BAD_RESPONSE",
      "not_applied",
      false,
    ]);
    expect(failure.message).toMatch(/does not speak TLS/);
  });
});

describe("a secret that the machine fails to read", () => {
  const failing = (code: string): KeySettings => ({
    kind: "key",
    accessKey: () => "AK",
    secretKey: () => {
      throw new Error("secret_key: cannot be read", { cause: Object.assign(new Error(code), { code }) });
    },
    securityToken: undefined,
  });

  it.each([
    ["EMFILE", "QUEUE_FULL", true],
    ["ENFILE", "QUEUE_FULL", true],
    ["EIO", "INTERNAL", false],
    ["ESTALE", "INTERNAL", false],
    ["ENOENT", "VENDOR_CREDENTIALS_REJECTED", false],
    ["EACCES", "VENDOR_CREDENTIALS_REJECTED", false],
  ])("is told by what it failed with: %s is %s", async (code, reason, retry) => {
    await using scene = await startScene({ credentials: () => failing(code) });
    const failure = await scene.failure({ method: "PUT", body: {} });
    expect([failure.reason, failure.outcome, asksToRetry(failure)]).toEqual([reason, "not_applied", retry]);
    expect(scene.service.requests).toEqual([]);
  });
});

describe("what sends the operator the right way", () => {
  const READ: RequestSubject = { service: "dcs", projectId: "p", what: "instance i", target: "t", changes: false };
  const answerOf = (reply: VendorReply): Answer => {
    const { status, headers, body } = encodeReply(reply);
    return { status, headers, text: body, json: body.startsWith("{") ? JSON.parse(body) : undefined };
  };
  const unsigned = (why: string) => gatewayError(401, "0301", `Incorrect IAM authentication information: ${why}`);

  it.each([
    ["an STS token that has expired", unsigned("x-security-token has expired"), /temporary credentials has expired/],
    ["another wording of that", unsigned("the SecurityToken is invalid"), /temporary credentials has expired/],
    ["a clock that is wrong", unsigned("verify fail: signature expired"), /clock/],
    [
      "Windows authentication",
      { status: 401, headers: { "www-authenticate": "NTLM" }, body: "<html>401</html>" },
      /wants a sign-in of its own \(NTLM\); check endpoints.dcs/,
    ],
    ["a proxy's sign-in", htmlReply(403, "Please log in"), /wants a sign-in of its own \(a page\)/],
    [
      "a proxy's challenge",
      { status: 407, headers: { "proxy-authenticate": "Basic realm=x" }, body: "no" },
      /wants a sign-in of its own \(Basic\)/,
    ],
    ["a page", htmlReply(200, "Sign in"), /is a web page: a sign-in or a proxy in front of dcs/],
  ])("tells %s", (_what, reply, sentence) => {
    const failure = refusal(answerOf(reply), READ, []);
    expect(failure.message).toMatch(sentence);
    expect(asksToRetry(failure)).toBe(false);
  });

  it.each([
    ["a second factor", keystoneError(401, "Unauthorized", "The MFA verification code is required."), /second factor/],
    ["a lockout", keystoneError(401, "Unauthorized", "The account is locked. Try again later."), /has locked/],
    ["a lockout by 403", keystoneError(403, "Forbidden", "Too many failed attempts."), /has locked/],
    ["a password that has expired", keystoneError(401, "Unauthorized", "The password has expired."), /has expired/],
    ["a password", keystoneError(401, "Unauthorized", "The username or password is wrong."), /check username, domain/],
    ["a sign-in in front", htmlReply(200, "Sign in"), /wants a sign-in of its own \(a page\); check iam.endpoint/],
  ])("tells %s of IAM", async (_what, answer, sentence) => {
    await using scene = await startScene({ credentials: byPassword });
    scene.iam.inject({ answer });
    const failure = await scene.failure();
    expect(failure.message).toMatch(sentence);
    expect(asksToRetry(failure)).toBe(false);
    expect([scene.iam.requests.length, scene.service.requests.length]).toEqual([1, 0]);
  });
});

it.skipIf(process.platform !== "linux")("a file that the system cannot read is no wrong credential", async () => {
  await using folder = await temporaryFolder();
  const secret = await folder.write("sk", "sandbox-secret-key");
  const source = create(SecretSchema, { source: { case: "file", value: secret } });
  const give = readSecret(source, ["secret_key"], readerOf(), {});
  if (give === undefined) throw new Error("there is a secret");
  await using scene = await startScene({
    credentials: (): KeySettings => ({
      kind: "key",
      accessKey: () => "SANDBOXACCESSKEY0001",
      secretKey: give,
      securityToken: undefined,
    }),
  });
  expect((await scene.send()).status).toBe(200);
  unlinkSync(secret);
  symlinkSync("/proc/self/mem", secret); // its first byte is in no memory
  expect(() => readFileSync(secret)).toThrow("EIO");
  expect(await scene.failure()).toMatchObject({ reason: "INTERNAL", outcome: "not_applied" });
});

/** A reader to whom nothing is reported. */
function readerOf() {
  const fail = () => {
    throw new Error("nothing was to be reported");
  };
  return {
    resolve: String,
    whereIs: () => "",
    problem: fail,
    warning: fail,
    problemElsewhere: fail,
    warningElsewhere: fail,
  };
}
