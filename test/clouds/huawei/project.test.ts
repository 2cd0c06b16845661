import { describe, expect, it } from "vitest";
import { NoAnswer } from "../../../src/clouds/http.ts";
import { openProjects } from "../../../src/clouds/huawei/project.ts";
import { createAccount } from "../../../src/clouds/huawei/simulator/account.ts";
import { Failure } from "../../../src/core/errors.ts";
import { loopbackCertificates } from "../../support/cluster-client.ts";
import { byKey, byPassword, startScene } from "./support.ts";

const RESTART = { method: "PUT", body: { action: "restart" } } as const;

describe("openProjects()", () => {
  it("finds what is configured, and says so of what is not", async () => {
    const account = createAccount();
    const settings = {
      projectId: "p1",
      region: "r",
      credentials: byKey(account),
      endpoints: { cse: "http://127.0.0.1:1", dcs: "http://127.0.0.1:1", ddm: "http://127.0.0.1:1" },
      ca: undefined,
    };
    await using projects = openProjects([settings], "cse", {
      now: () => new Date(),
      monotonic: () => performance.now(),
    });
    expect(projects.find("p1").projectId).toBe("p1");
    expect(() => projects.find("p2")).toThrow(
      expect.objectContaining({ reason: "PROJECT_NOT_FOUND", outcome: "not_applied", metadata: { project: "p2" } }),
    );
    expect(() => projects.find("__proto__")).toThrow(Failure);
  });

  it("connects to nothing before it is asked, and ends with what is under way", async () => {
    const scene = await startScene();
    expect(scene.service.requests).toEqual([]);
    scene.service.inject({ delayBefore: 60_000 });
    const [failure] = await Promise.all([
      scene.failure(RESTART),
      (async () => {
        await expect.poll(() => scene.service.requests.length).toBe(1);
        await scene[Symbol.asyncDispose]();
      })(),
    ]);
    expect([failure.reason, failure.outcome]).toEqual(["OUTCOME_UNKNOWN", "unknown"]);
  });
});

describe("Project.request()", () => {
  it("answers with status, headers and body, whatever the status", async () => {
    await using scene = await startScene({ handle: () => ({ status: 418, body: { tea: true } }) });
    const answer = await scene.send();
    expect([answer.status, answer.json]).toEqual([418, { tea: true }]);
    expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f]{32}$/);
  });

  it("goes to the service's own address, with the path that it has", async () => {
    await using other = await startScene();
    await using scene = await startScene({
      settings: {
        endpoints: { cse: "http://127.0.0.1:1", dcs: `${other.service.url}/base`, ddm: "http://127.0.0.1:1" },
      },
    });
    expect((await scene.send({ path: "/v2/p/instances" })).json).toMatchObject({ path: "/base/v2/p/instances" });
    expect(scene.service.requests).toEqual([]);
  });

  it.each([301, 302, 303, 307, 308])(
    "does not follow a redirect by %s, not even to where it is known",
    async (status) => {
      await using elsewhere = await startScene();
      await using scene = await startScene();
      scene.service.inject({ times: 2, answer: { status, headers: { location: `${elsewhere.service.url}/v2/p` } } });
      for (const request of [{}, RESTART]) {
        const failure = await scene.failure(request);
        expect([failure.reason, failure.outcome]).toEqual(["UPSTREAM_REDIRECT", "not_applied"]);
      }
      expect(scene.service.requests).toHaveLength(2);
      expect(elsewhere.service.requests).toEqual([]);
    },
  );

  it("reads no answer that is too large", async () => {
    await using scene = await startScene({ handle: () => ({ status: 200, body: "x".repeat(4 * 1024 * 1024 + 1) }) });
    expect((await scene.failure()).reason).toBe("VENDOR_BAD_RESPONSE");
    expect((await scene.failure(RESTART)).reason).toBe("OUTCOME_UNKNOWN");
  });

  it("reads an answer that is just not too large", async () => {
    await using scene = await startScene({ handle: () => ({ status: 200, body: "x".repeat(4 * 1024 * 1024) }) });
    expect((await scene.send()).status).toBe(200);
  });

  it.each(["before-executing", "after-executing", "while-answering"] as const)(
    "sends a change once when the connection is cut %s",
    async (disconnect) => {
      await using scene = await startScene();
      await scene.send(); // a connection that is kept
      scene.service.inject({ disconnect });
      const failure = await scene.failure(RESTART);
      expect([failure.reason, failure.outcome]).toEqual(["OUTCOME_UNKNOWN", "unknown"]);
      expect(scene.service.requests.filter(({ method }) => method === "PUT")).toHaveLength(1);
    },
  );

  it("gives a change a connection of its own", async () => {
    await using scene = await startScene();
    for (const request of [{}, RESTART]) await scene.send(request);
    expect(scene.service.requests.map(({ headers }) => headers.connection)).toEqual(["keep-alive", "close"]);
  });

  it("calls onSend once, before anything arrives, and sends nothing when it throws", async () => {
    await using scene = await startScene();
    const seen: number[] = [];
    await scene.send({ ...RESTART, onSend: () => seen.push(scene.service.requests.length) });
    expect(seen).toEqual([0]);
    const veto = new Error("too late");
    const onSend = () => {
      throw veto;
    };
    await expect(scene.send({ ...RESTART, onSend })).rejects.toBe(veto);
    expect(scene.service.requests).toHaveLength(1);
  });

  it("asks for a token before onSend", async () => {
    await using scene = await startScene({ credentials: byPassword });
    const seen: number[] = [];
    await scene.send({ ...RESTART, onSend: () => seen.push(scene.iam.requests.length, scene.service.requests.length) });
    expect(seen).toEqual([1, 0]);
  });

  it("bounds the wait for an answer, and says that a change may have been made", async () => {
    await using scene = await startScene();
    await scene.send(); // while nobody knows whether a key is taken, one request at a time shows it
    scene.service.inject({ times: 2, delayBefore: 60_000 });
    const [read, change] = await Promise.all([
      scene.failure({ timeoutMs: 1_500 }), // for a connection, too
      scene.failure({ ...RESTART, timeoutMs: 1_500 }),
    ]);
    expect([read.reason, read.outcome]).toEqual(["VENDOR_UNREACHABLE", "not_applied"]);
    expect([change.reason, change.outcome, change.code]).toEqual(["OUTCOME_UNKNOWN", "unknown", 4]);
  });

  it("tells an address where nobody is from an answer that was lost", async () => {
    await using scene = await startScene({
      settings: { endpoints: { cse: "http://127.0.0.1:1", dcs: "http://127.0.0.1:1", ddm: "http://127.0.0.1:1" } },
    });
    await expect(scene.send(RESTART)).rejects.toSatisfy((error) => error instanceof NoAnswer && !error.sent);
    expect((await scene.failure(RESTART)).message).toMatch(/it cannot be reached \(ECONNREFUSED\)$/);
  });

  it("ends a read, but no change that has left, when its caller goes", async () => {
    await using scene = await startScene();
    const reader = new AbortController();
    scene.service.inject({ method: "GET", delayBefore: 60_000, before: () => reader.abort(new Error("gone")) });
    expect((await scene.failure({ signal: reader.signal })).outcome).toBe("not_applied");
    const writer = new AbortController();
    scene.service.inject({ method: "PUT", before: () => writer.abort(new Error("gone")) });
    expect((await scene.send({ ...RESTART, signal: writer.signal })).status).toBe(200);
  });
});

describe("a project's authorities", () => {
  const { authority, certified } = loopbackCertificates();

  it("judge the service and IAM", async () => {
    await using scene = await startScene({ tls: certified, settings: { ca: authority.cert }, credentials: byPassword });
    expect((await scene.send()).status).toBe(200);
    expect([scene.iam.requests.length, scene.service.requests.length]).toEqual([1, 1]);
  });

  it.each<[string, string | undefined]>([
    ["others", loopbackCertificates().authority.cert],
    ["those of Node.js", undefined],
  ])("refuse who is not theirs: %s", async (_whose, ca) => {
    await using scene = await startScene({ tls: certified, settings: { ca } });
    const failure = await scene.failure(RESTART);
    expect([failure.reason, failure.outcome]).toEqual(["VENDOR_BAD_RESPONSE", "not_applied"]);
    expect(failure.message).toMatch(
      /a certificate of an authority that is not known here .* as ca in the configuration/,
    );
    expect(failure.details).toEqual([]);
    expect(scene.service.requests).toEqual([]);
  });
});
