import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import type { IamSettings, KeySettings } from "../../../src/clouds/huawei/config.ts";
import type { HuaweiRequest } from "../../../src/clouds/huawei/project.ts";
import { gatewayError, keystoneError } from "../../../src/clouds/huawei/simulator/replies.ts";
import type { Failure, Reason } from "../../../src/core/errors.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { byKey, byPassword, startScene } from "./support.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const START = Date.parse("2026-11-21T10:00:00Z");

/** A secret in a file, read anew every time. */
const inFile = (file: string) => () => readFileSync(file, "utf8").trimEnd();

const everything = (failure: Failure): string => inspect(failure, { depth: null, showHidden: true });

describe("an access key", () => {
  it("signs so that a gateway that checks every byte lets it in", async () => {
    await using scene = await startScene();
    const requests: Partial<HuaweiRequest>[] = [
      {},
      { query: { limit: "10", name: "一 (&=?!#%.*)+~", offset: undefined } },
      { method: "PUT", body: { instances: ["i"], action: "restart", note: "一" } },
      { method: "POST", headers: { "x-enterprise-project-id": "0", accept: "application/json" } },
      { path: "/v2/p/instances/status/" },
    ];
    for (const request of requests) {
      expect((await scene.send(request)).status).toBe(200);
    }
    const [read, query, put, post] = scene.service.requests;
    const signed = (request = read) => /SignedHeaders=([^,]+)/.exec(request?.headers.authorization ?? "")?.[1];
    expect(signed()).toBe("host;x-project-id;x-sdk-date");
    expect(signed(put)).toBe("content-type;host;x-project-id;x-sdk-date");
    expect(signed(post)).toBe("host;x-enterprise-project-id;x-project-id;x-sdk-date");
    expect(query?.query.get("name")).toBe("一 (&=?!#%.*)+~");
    expect(query?.query.has("offset")).toBe(false);
    expect(read?.headers).toMatchObject({
      accept: "application/json",
      "user-agent": expect.stringMatching(/^restartd\//),
      "x-project-id": scene.account.projectId,
    });
    expect(read?.headers).not.toHaveProperty("content-type");
    expect(put?.headers["content-type"]).toBe("application/json");
  });

  it("brings the security token of temporary credentials, signed", async () => {
    const key = { accessKey: "AK", secretKey: "SK", securityToken: "temporary" };
    await using scene = await startScene({ account: { keys: [key] } });
    expect((await scene.send()).status).toBe(200);
    const [request] = scene.service.requests;
    expect(request?.headers["x-security-token"]).toBe("temporary");
    expect(request?.headers.authorization).toContain("SignedHeaders=host;x-project-id;x-sdk-date;x-security-token,");
  });

  it("is the one that the files hold now", async () => {
    await using folder = await temporaryFolder();
    const secretKey = await folder.write("sk", "old\n");
    await using scene = await startScene({
      account: { keys: [{ accessKey: "AK", secretKey: "old" }] },
      credentials: (): KeySettings => ({
        kind: "key",
        accessKey: () => "AK",
        secretKey: inFile(secretKey),
        securityToken: undefined,
      }),
    });
    expect((await scene.send()).status).toBe(200);
    scene.account.keys[0] = { accessKey: "AK", secretKey: "new" };
    expect((await scene.send()).status).toBe(401);
    writeFileSync(secretKey, "new\n");
    expect((await scene.send()).status).toBe(200);
  });

  it.each<[string, number]>([
    ["behind", -16 * MINUTE_MS],
    ["ahead", 16 * MINUTE_MS],
  ])("explains a clock that is %s, and is not tried again", async (_where, skew) => {
    await using scene = await startScene({ account: { now: () => START } });
    scene.now = () => START + skew;
    const failure = await scene.failure();
    expect(failure.reason).toBe("VENDOR_CREDENTIALS_REJECTED");
    expect(failure.message).toContain("restartd's clock and Huawei Cloud's differ by more than 15 minutes");
    expect(failure.message).toContain("(Huawei Cloud's shows 2026-11-21T10:00:00.000Z)");
    expect(scene.service.requests).toHaveLength(1);
    scene.now = () => START + skew - Math.sign(skew) * 2 * MINUTE_MS;
    scene.uptime += MINUTE_MS;
    expect((await scene.send()).status).toBe(200);
  });

  it("is refused without a second try, and not shown again before a pause has passed that grows", async () => {
    await using scene = await startScene({
      credentials: () => ({
        kind: "key",
        accessKey: () => "SANDBOXACCESSKEY0001",
        secretKey: () => "wrong",
        securityToken: undefined,
      }),
    });
    let shown = 0;
    for (const minutes of [1, 5, 15, 15]) {
      const all = await Promise.all([
        ...Array.from({ length: 8 }, () => scene.failure()),
        ...Array.from({ length: 8 }, () => scene.failure({ method: "PUT", body: {} })),
      ]);
      for (const { message, reason, outcome } of all) {
        expect([reason, outcome]).toEqual(["VENDOR_CREDENTIALS_REJECTED", "not_applied"]);
        expect(message).toContain("the signature is wrong");
      }
      expect(scene.service.requests).toHaveLength(++shown);
      scene.uptime += minutes * MINUTE_MS - 1;
      expect((await scene.failure()).message).toContain("the same is not tried again for");
      expect(scene.service.requests).toHaveLength(shown);
      scene.uptime += 1;
    }
    expect(scene.service.requests.every(({ executed }) => !executed)).toBe(true);
  });

  it("is shown again as soon as its text is another one", async () => {
    let secretKey = "wrong";
    await using scene = await startScene({
      credentials: (account) => ({ ...byKey(account), secretKey: () => secretKey }),
    });
    const right = byKey(scene.account).secretKey();
    expect((await scene.failure()).reason).toBe("VENDOR_CREDENTIALS_REJECTED");
    secretKey = right;
    expect((await scene.send()).status).toBe(200);
    secretKey = "wrong";
    expect((await scene.failure()).message).toContain("the same is not tried again for");
    expect(scene.service.requests).toHaveLength(2);
  });

  it.each<[string, Partial<KeySettings>]>([
    [
      "cannot be read",
      {
        secretKey: () => {
          throw new Error("no file");
        },
      },
    ],
    ["have spaces, line ends or other letters in them", { accessKey: () => "hunter2 \nX-Evil: yes" }],
    ["have spaces, line ends or other letters in them", { securityToken: () => "hunter2 token" }],
  ])("that %s sends nothing", async (why, wrong) => {
    await using scene = await startScene({
      credentials: () => ({
        kind: "key",
        accessKey: () => "AK",
        secretKey: () => "SK",
        securityToken: undefined,
        ...wrong,
      }),
    });
    const failure = await scene.failure({ method: "PUT", body: {} });
    expect([failure.reason, failure.outcome]).toEqual(["VENDOR_CREDENTIALS_REJECTED", "not_applied"]);
    expect(failure.message).toContain(`restartd's own credentials ${why}`);
    expect(everything(failure)).not.toContain("hunter2");
    expect(scene.service.requests).toEqual([]);
  });
});

describe("an IAM user", () => {
  it("gets a token for the project, without the catalog, and uses it", async () => {
    await using scene = await startScene({ credentials: byPassword });
    expect((await scene.send({ method: "PUT", body: { action: "restart" } })).status).toBe(200);
    const [asked] = scene.iam.requests;
    expect([asked?.method, asked?.url, asked?.headers["content-type"]]).toEqual([
      "POST",
      "/v3/auth/tokens?nocatalog=true",
      "application/json;charset=utf8",
    ]);
    expect(JSON.parse(asked?.body ?? "")).toEqual({
      auth: {
        identity: {
          methods: ["password"],
          password: { user: { name: "restartd", password: "sandbox-password", domain: { name: "sandbox" } } },
        },
        scope: { project: { id: scene.account.projectId } },
      },
    });
    const [token] = scene.account.tokens.keys();
    const [request] = scene.service.requests;
    expect(request?.headers["x-auth-token"]).toBe(token);
    expect(request?.headers).not.toHaveProperty("authorization");
    expect(asked?.headers).not.toHaveProperty("x-auth-token");
  });

  it("asks once for callers at the same time, and keeps the token until shortly before its end", async () => {
    let now = START;
    await using scene = await startScene({ account: { now: () => now }, credentials: byPassword });
    const answers = await Promise.all(Array.from({ length: 20 }, () => scene.send()));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    expect(scene.iam.requests).toHaveLength(1);
    now = START + 23 * HOUR_MS + 54 * MINUTE_MS;
    expect((await scene.send()).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(1);
    now = START + 23 * HOUR_MS + 56 * MINUTE_MS;
    expect((await scene.send()).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(2);
  });

  it("keeps a short token for most of its life", async () => {
    let now = START;
    await using scene = await startScene({
      account: { now: () => now, tokenLifeMs: MINUTE_MS },
      credentials: byPassword,
    });
    await scene.send();
    now = START + 53_000;
    await scene.send();
    expect(scene.iam.requests).toHaveLength(1);
    now = START + 55_000;
    await scene.send();
    expect(scene.iam.requests).toHaveLength(2);
  });

  it("keeps a token that has ended by our clock: how long it lives is said by IAM's", async () => {
    await using scene = await startScene({ account: { now: () => START }, credentials: byPassword });
    scene.now = () => START + 48 * HOUR_MS;
    expect([(await scene.send()).status, (await scene.send()).status]).toEqual([200, 200]);
    expect(scene.iam.requests).toHaveLength(1);
  });

  it.each<[string, boolean, (tokens: Map<string, unknown>) => void]>([
    ["was voided", true, (tokens) => tokens.clear()],
    ["is good", false, () => {}],
  ])("forgets a token that %s: %s, and repeats no change", async (_what, forgets, change) => {
    await using scene = await startScene({ credentials: byPassword });
    await scene.send();
    change(scene.account.tokens);
    const { status } = await scene.send({ method: "PUT", body: {} });
    expect([status, scene.service.requests.length, scene.iam.requests.length]).toEqual([forgets ? 401 : 200, 2, 1]);
    expect((await scene.send()).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(forgets ? 2 : 1);
  });

  it("keeps its token when a 401 is about something else", async () => {
    await using scene = await startScene({ credentials: byPassword });
    await scene.send();
    scene.service.inject({
      answer: { status: 401, body: { errorCode: "SVCSTG.00401116", errorMessage: "no engine" } },
    });
    expect((await scene.send()).status).toBe(401);
    expect((await scene.send()).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(1);
  });

  it("replaces it once, however many reads are told that it was voided", async () => {
    await using scene = await startScene({ credentials: byPassword });
    await scene.send();
    scene.account.tokens.clear();
    const went = await Promise.all(Array.from({ length: 5 }, () => scene.send()));
    expect(went.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(scene.iam.requests).toHaveLength(2);
  });

  it("does not replace a new token because an old one was refused late", async () => {
    await using scene = await startScene({ credentials: byPassword });
    await scene.send();
    scene.account.tokens.clear();
    const held = Promise.withResolvers<void>();
    scene.service.inject({ path: /slow/, answer: (refused) => refused, before: () => held.promise });
    const slow = scene.send({ path: "/v2/slow" });
    await expect.poll(() => scene.service.requests.length).toBe(2);
    expect((await scene.send()).status).toBe(200);
    held.resolve();
    expect((await slow).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(2);
  });

  it("is not fetched again and again where the service takes none", async () => {
    await using scene = await startScene({ credentials: byPassword });
    scene.service.inject({ times: 99, answer: gatewayError(401, "0307", "The token must be updated") });
    expect((await scene.send()).status).toBe(401);
    expect([scene.service.requests.length, scene.iam.requests.length]).toEqual([2, 2]);
    for (let count = 0; count < 5; count++) {
      expect((await scene.failure({ method: "PUT", body: {} })).message).toContain("the same is not tried again for");
    }
    expect([scene.service.requests.length, scene.iam.requests.length]).toEqual([2, 2]);
  });

  it("gets a new token when the password changes", async () => {
    await using folder = await temporaryFolder();
    const password = await folder.write("password", "sandbox-password\n");
    await using scene = await startScene({
      credentials: (account, iam): IamSettings => ({ ...byPassword(account, iam), password: inFile(password) }),
    });
    await scene.send();
    scene.account.user.password = "another";
    expect((await scene.send()).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(1);
    writeFileSync(password, "another\n");
    expect((await scene.send()).status).toBe(200);
    expect(scene.iam.requests).toHaveLength(2);
    rmSync(join(folder.path, "password"));
    expect((await scene.failure()).message).toContain("restartd's own credentials cannot be read");
  });

  it.each<[string, Reason, RegExp, Parameters<typeof keystoneError>]>([
    ["a wrong password", "VENDOR_CREDENTIALS_REJECTED", /check username, domain/, [401, "Unauthorized", "wrong"]],
    ["a user without rights", "VENDOR_CREDENTIALS_REJECTED", /may use the API/, [403, "Forbidden", "no"]],
    ["a strange project", "VENDOR_CREDENTIALS_REJECTED", /check project_id/, [404, "Not Found", "no project"]],
    [
      "a strange request",
      "VENDOR_CREDENTIALS_REJECTED",
      /gives restartd's own user no token/,
      [400, "Bad Request", "x"],
    ],
    ["too many requests", "THROTTLED", /too many requests/, [429, "Too Many Requests", "x"]],
    ["a redirect", "UPSTREAM_REDIRECT", /is not followed/, [302, "Found", "x"]],
    ["a fault", "VENDOR_UNREACHABLE", /cannot give a token at the moment/, [503, "Service Unavailable", "x"]],
    ["a token without a header", "VENDOR_BAD_RESPONSE", /no token that can be understood/, [201, "Created", "x"]],
  ])("that IAM refuses for %s fails, once, and sends nothing", async (_what, reason, sentence, reply) => {
    await using scene = await startScene({ credentials: byPassword });
    scene.iam.inject({ answer: keystoneError(...reply) });
    const failure = await scene.failure({ method: "PUT", body: {} });
    expect([failure.reason, failure.outcome]).toEqual([reason, "not_applied"]);
    expect(failure.message).toMatch(sentence);
    expect(failure.message).toContain("nothing was sent to dcs");
    expect(failure.metadata).toMatchObject({ vendor: "dcs", vendor_http_status: String(reply[0]) });
    expect([scene.iam.requests.length, scene.service.requests.length]).toEqual([1, 0]);
    if (reason === "VENDOR_CREDENTIALS_REJECTED") {
      for (let count = 0; count < 5; count++) {
        expect((await scene.failure()).message).toMatch(sentence);
      }
      expect(scene.iam.requests).toHaveLength(1);
      scene.uptime += MINUTE_MS;
    }
    expect((await scene.send()).status).toBe(200);
  });

  it("shares a refusal among those who wait for it", async () => {
    await using scene = await startScene({ credentials: byPassword });
    scene.iam.inject({ answer: keystoneError(401, "Unauthorized", "wrong"), delayAfter: 50 });
    const failures = await Promise.all(Array.from({ length: 5 }, () => scene.failure()));
    expect(failures.map(({ reason }) => reason)).toEqual(
      Array.from({ length: 5 }, () => "VENDOR_CREDENTIALS_REJECTED"),
    );
    expect(scene.iam.requests).toHaveLength(1);
  });

  it.each(["before-executing", "after-executing", "while-answering"] as const)(
    "is unreachable when IAM hangs up %s",
    async (disconnect) => {
      await using scene = await startScene({ credentials: byPassword });
      scene.iam.inject({ disconnect });
      const failure = await scene.failure({ method: "PUT", body: {} });
      expect([failure.reason, failure.outcome]).toEqual(["VENDOR_UNREACHABLE", "not_applied"]);
      expect(failure.message).toContain("IAM cannot be reached");
      expect([scene.iam.requests.length, scene.service.requests.length]).toEqual([1, 0]);
    },
  );

  it("does not keep a caller waiting for IAM longer than it wants to", async () => {
    await using scene = await startScene({ credentials: byPassword });
    const caller = new AbortController();
    scene.iam.inject({ delayBefore: 60_000, before: () => caller.abort(new Error("gone")) });
    const failure = await scene.failure({ method: "PUT", body: {}, signal: caller.signal });
    expect([failure.reason, failure.outcome]).toEqual(["VENDOR_UNREACHABLE", "not_applied"]);
    expect(scene.service.requests).toEqual([]);
  });
});

describe("secrets", () => {
  const secrets = { accessKey: "AKhunter2", secretKey: "hunter2-secret-key", securityToken: "hunter2-security-token" };
  const user = { domain: "d", name: "u", password: "hunter2-password" };

  it.each<[string, (scene: Awaited<ReturnType<typeof startScene>>) => void]>([
    [
      "refusals",
      ({ service }) => service.inject({ answer: gatewayError(401, "0301", "Get secretKey failed,ak:AKhunter2") }),
    ],
    ["echoes", ({ service }) => service.inject({ answer: ({ body }) => ({ status: 500, body: `${body}hunter2` }) })],
    ["hang-ups", ({ service }) => service.inject({ disconnect: "after-executing" })],
  ])("are in no error made of %s", async (_what, arrange) => {
    for (const credentials of [undefined, byPassword]) {
      await using scene = await startScene({
        account: { keys: [secrets], user },
        ...(credentials !== undefined && { credentials }),
      });
      arrange(scene);
      const failure = await scene.failure({ method: "PUT", body: {} });
      const [token = ""] = scene.account.tokens.keys();
      const shown = everything(failure);
      expect(shown).toContain("vendor");
      expect(shown).not.toContain("hunter2");
      expect(token === "" || !shown.includes(token)).toBe(true);
    }
  });

  it("would be seen: they are in what was sent", async () => {
    await using scene = await startScene({ account: { keys: [secrets], user } });
    await scene.send();
    expect(inspect(scene.service.requests, { depth: null })).toContain("hunter2");
  });

  it("are in no error of IAM's", async () => {
    await using scene = await startScene({ account: { user }, credentials: byPassword });
    scene.iam.inject({
      answer: ({ body }) => ({ status: 401, body: { error: { code: 401, message: `${body} hunter2` } } }),
    });
    expect(everything(await scene.failure())).not.toContain("hunter2");
  });
});
