import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { HuaweicloudSchema } from "../../../gen/restart/config/v1/huaweicloud_pb.ts";
import { readHuaweicloud } from "../../../src/clouds/huawei/config.ts";
import { authorizationOf, sdkDate } from "../../../src/clouds/huawei/sign.ts";
import { type Account, createAccount } from "../../../src/clouds/huawei/simulator/account.ts";
import { withEndpoint } from "../../../src/clouds/huawei/simulator/sandbox.ts";
import type { SectionReader } from "../../../src/core/section-reader.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { byPassword, type Scene, startScene } from "./support.ts";

const PATH = "/v2/p/instances";

/** What a test changes of a request that would be let in. */
interface Change {
  readonly date?: string;
  readonly secretKey?: string;
  readonly accessKey?: string;
  /** Headers that are signed. */
  readonly signed?: Readonly<Record<string, string>>;
  /** Headers that are sent after signing. */
  readonly sent?: Readonly<Record<string, string | undefined>>;
  readonly method?: string;
  readonly body?: string;
  /** What is sent where something else was signed. */
  readonly query?: string;
}

/** Signs by hand, sends by fetch, and answers the status and what the gateway says. */
async function knock({ service, account }: Pick<Scene, "service" | "account">, change: Change = {}) {
  const [key] = account.keys;
  const url = new URL(`${service.url}${PATH}?limit=1`);
  const body = '{"action":"restart"}';
  const headers = {
    host: url.host,
    "x-sdk-date": change.date ?? sdkDate(new Date(account.now())),
    ...change.signed,
  };
  const authorization = authorizationOf(
    { method: "PUT", url, headers, body },
    { accessKey: change.accessKey ?? key?.accessKey ?? "", secretKey: change.secretKey ?? key?.secretKey ?? "" },
  );
  const sent = Object.entries({ ...headers, authorization, ...change.sent }).filter(([name]) => name !== "host");
  const response = await fetch(change.query === undefined ? url : `${service.url}${PATH}?${change.query}`, {
    method: change.method ?? "PUT",
    headers: Object.fromEntries(sent.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
    body: change.body ?? body,
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

describe("the gateway", () => {
  it("lets in who signs", async () => {
    await using scene = await startScene();
    expect(await knock(scene)).toMatchObject({ status: 200 });
    expect(await knock(scene, { signed: { "x-project-id": "p", "content-type": "application/json" } })).toMatchObject({
      status: 200,
    });
    expect(scene.service.requests.every(({ executed }) => executed)).toBe(true);
  });

  it.each<[string, Change, string]>([
    ["another secret", { secretKey: "x" }, "verify aksk signature fail"],
    ["another body", { body: '{"action":"flush"}' }, "verify aksk signature fail"],
    ["another method", { method: "POST" }, "verify aksk signature fail"],
    ["another query", { query: "limit=2" }, "verify aksk signature fail"],
    [
      "another value of what is signed",
      { signed: { "x-project-id": "p" }, sent: { "x-project-id": "q" } },
      "verify aksk",
    ],
    [
      "what is signed left out",
      { signed: { "x-project-id": "p" }, sent: { "x-project-id": undefined } },
      "verify aksk",
    ],
    ["another access key", { accessKey: "NOBODY" }, "Get secretKey failed,ak:NOBODY,err:ak not exist"],
    [
      "a security token for a key that has none",
      { signed: { "x-security-token": "t" } },
      "the security token is wrong",
    ],
    ["a moment that cannot be read", { date: "2019-11-15" }, "x-sdk-date is missing or malformed"],
    ["a moment that is over", { date: "20191115T033655Z" }, "calc ak sk signature fail:signature expired"],
    ["no moment", { sent: { "x-sdk-date": undefined } }, "x-sdk-date is missing or malformed"],
    ["another algorithm", { sent: { authorization: "V11-HMAC-SHA256 Credential=x" } }, "malformed"],
    ["nobody", { sent: { authorization: undefined } }, "x-auth-token not found"],
    ["a strange token", { sent: { authorization: undefined, "x-auth-token": "t" } }, "decrypt token fail"],
  ])("refuses %s", async (_what, change, message) => {
    await using scene = await startScene();
    const { status, text, headers } = await knock(scene, change);
    expect([status, text]).toEqual([401, expect.stringContaining(message)]);
    expect(JSON.parse(text)).toEqual({
      error_code: "APIGW.0301",
      error_msg: expect.stringMatching(/^Incorrect IAM authentication information: /),
      request_id: headers.get("x-request-id"),
    });
    expect(scene.service.requests.map(({ executed }) => executed)).toEqual([false]);
  });

  it("wants the names of signed headers sorted", async () => {
    await using scene = await startScene();
    await knock(scene);
    const good = scene.service.requests[0]?.headers.authorization ?? "";
    const date = scene.service.requests[0]?.headers["x-sdk-date"] ?? "";
    expect(await knock(scene, { date, sent: { authorization: good } })).toMatchObject({ status: 200 });
    const swapped = good.replace("host;x-sdk-date", "x-sdk-date;host");
    expect(await knock(scene, { date, sent: { authorization: swapped } })).toMatchObject({ status: 401 });
  });

  it.each([
    [14 * 60_000, 200],
    [-14 * 60_000, 200],
    [16 * 60_000, 401],
    [-16 * 60_000, 401],
  ])("answers a clock that is %s ms off with %s", async (skew, status) => {
    await using scene = await startScene();
    expect(await knock(scene, { date: sdkDate(new Date(scene.account.now() + skew)) })).toMatchObject({ status });
  });

  it("wants the security token of temporary credentials signed", async () => {
    const keys = [{ accessKey: "AK", secretKey: "SK", securityToken: "t" }];
    await using scene = await startScene({ account: { keys } });
    expect(await knock(scene, { signed: { "x-security-token": "t" } })).toMatchObject({ status: 200 });
    expect(await knock(scene, { sent: { "x-security-token": "t" } })).toMatchObject({ status: 401 });
    expect(await knock(scene, { signed: { "x-security-token": "u" } })).toMatchObject({ status: 401 });
    expect(await knock(scene)).toMatchObject({ status: 401 });
  });

  it("locks a key after more than five failures, for five minutes", async () => {
    let now = Date.now();
    await using scene = await startScene({ account: { now: () => now } });
    const good = async () => (await knock(scene)).status;
    const bad = () => knock(scene, { secretKey: "x" });
    for (const _round of ["that do not add up", "after a success"]) {
      for (let count = 0; count < 5; count += 1) await bad();
      expect(await good()).toBe(200);
    }
    for (let count = 0; count < 6; count += 1) await bad();
    expect(await good()).toBe(401);
    expect((await bad()).text).toContain("AK access failed to reach the limit,forbidden.");
    now += 5 * 60_000;
    expect(await good()).toBe(200);
  });

  it("wants a token that has not ended, and is for its project", async () => {
    let now = Date.now();
    await using scene = await startScene({ account: { now: () => now }, credentials: byPassword });
    await scene.send();
    const [token = ""] = scene.account.tokens.keys();
    const byToken = async (account: Account) =>
      knock({ service: scene.service, account }, { sent: { authorization: undefined, "x-auth-token": token } });
    expect(await byToken(scene.account)).toMatchObject({ status: 200 });
    now += 24 * 60 * 60_000;
    const refused = await byToken(scene.account);
    expect([refused.status, JSON.parse(refused.text)]).toMatchObject([401, { error_code: "APIGW.0307" }]);
  });

  it("knows no path that the service does not", async () => {
    await using scene = await startScene({ handle: () => undefined });
    const { status, text } = await knock(scene);
    expect([status, JSON.parse(text)]).toMatchObject([404, { error_code: "APIGW.0101" }]);
  });

  it("has a chaos that speaks as it does", async () => {
    await using scene = await startScene();
    const seen = new Set<string>();
    let turn = 0;
    scene.service.chaos({ random: () => ((turn++ * 7) % 100) / 100, rate: 1 });
    for (let count = 0; count < 60; count += 1) {
      const failure = await scene.failure({ method: "PUT", body: {} });
      seen.add(`${failure.reason} ${failure.metadata.vendor_code ?? ""}`);
    }
    expect([...seen]).toEqual(expect.arrayContaining(["OUTCOME_UNKNOWN APIGW.0201", "THROTTLED APIGW.0308"]));
    scene.service.chaos(undefined);
    expect((await scene.send({ method: "PUT", body: {} })).status).toBe(200);
  });
});

describe("IAM", () => {
  const ask = async (scene: Scene, body: unknown, headers: Record<string, string> = {}, path = "/v3/auth/tokens") => {
    const response = await fetch(`${scene.iam.url}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json;charset=utf8", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    const token = response.headers.get("x-subject-token");
    return { status: response.status, token, json: JSON.parse(await response.text()) };
  };
  const wanted = (user: object = {}, scope: object = {}) => ({
    auth: {
      identity: {
        methods: ["password"],
        password: {
          user: { name: "restartd", password: "sandbox-password", domain: { name: "sandbox" }, ...user },
        },
      },
      scope: { project: { name: "sandbox-1", ...scope } },
    },
  });

  it("gives a token for the project's name, too", async () => {
    await using scene = await startScene();
    const { status, token, json } = await ask(scene, wanted());
    expect(status).toBe(201);
    expect([...scene.account.tokens.keys()]).toEqual([token]);
    expect(json.token.expires_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  it.each<[string, number, unknown, Record<string, string>?, string?]>([
    ["a wrong password", 401, wanted({ password: "x" })],
    ["a wrong user", 401, wanted({ name: "x" })],
    ["a wrong domain", 401, wanted({ domain: { name: "x" } })],
    ["another project", 404, wanted({}, { name: "x" })],
    ["what is no JSON", 400, "{"],
    ["what asks for nothing", 400, {}],
    ["what is not said to be JSON", 415, wanted(), { "content-type": "text/plain" }],
    ["another path", 404, wanted(), {}, "/v3/tokens"],
  ])("refuses %s", async (_what, code, body, headers, path) => {
    await using scene = await startScene();
    const { status, token, json } = await ask(scene, body, headers, path);
    expect([status, token]).toEqual([code, null]);
    expect(json).toEqual({ error: { code, message: expect.any(String), title: expect.any(String) } });
    expect(scene.account.tokens.size).toBe(0);
  });
});

describe("withEndpoint()", () => {
  const reader: SectionReader = {
    resolve: String,
    whereIs: () => "",
    problem: fail,
    warning: fail,
    problemElsewhere: fail,
    warningElsewhere: fail,
  };
  function fail(...words: unknown[]): never {
    throw new Error(`nothing was to be reported: ${JSON.stringify(words)}`);
  }

  it("makes one section of the three services'", async () => {
    await using folder = await temporaryFolder();
    const account = createAccount();
    const cse = await withEndpoint(undefined, { service: "cse", url: "http://127.0.0.1:1", account }, folder.path);
    const both = await withEndpoint(cse, { service: "dcs", url: "http://127.0.0.1:2", account }, folder.path);
    const section = await withEndpoint(both, { service: "ddm", url: "http://127.0.0.1:3", account }, folder.path);
    const { pollIntervalMs, projects } = readHuaweicloud(section, reader, {});
    expect(pollIntervalMs).toBe(500);
    expect(projects).toHaveLength(1);
    const [project] = projects;
    expect(project?.projectId).toBe("5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d");
    expect(project?.endpoints).toEqual({
      cse: "http://127.0.0.1:1",
      dcs: "http://127.0.0.1:2",
      ddm: "http://127.0.0.1:3",
    });
    if (project?.credentials.kind !== "key") throw new Error("no key");
    expect([project.credentials.accessKey(), project.credentials.secretKey()]).toEqual([
      "SANDBOXACCESSKEY0001",
      "sandbox-secret-key",
    ]);
  });

  it("leaves what others have made of it as it was", async () => {
    await using folder = await temporaryFolder();
    const account = createAccount({ keys: [{ accessKey: "AK", secretKey: "SK", securityToken: "t" }] });
    const before = create(HuaweicloudSchema, { projects: [{ projectId: "other", region: "r" }] });
    const section = await withEndpoint(before, { service: "dcs", url: "http://127.0.0.1:2", account }, folder.path);
    expect(before.projects.map(({ projectId }) => projectId)).toEqual(["other"]);
    expect(section.projects.map(({ projectId }) => projectId)).toEqual(["other", account.projectId]);
    expect(section.projects[1]?.credentials?.securityToken?.source.case).toBe("file");
  });
});
