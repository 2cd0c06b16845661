import { describe, expect, it } from "vitest";
import { ErrorInfoSchema, QuotaFailureSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { createAuthenticate } from "../../src/access/authenticate.ts";
import { createJwtVerifier } from "../../src/access/jwt.ts";
import { EVERYTHING_ALLOWED } from "../../src/core/access.ts";
import { Failure } from "../../src/core/errors.ts";
import type { Principal } from "../../src/core/principal.ts";
import { createShares } from "../../src/server/shares.ts";
import { FORMS, send, serve, validJson } from "./fixture.ts";

const JSON_TYPE = { "content-type": "application/json" };
const RESTART = "/restart.kubernetes.v1.WorkloadService/Restart";
const CLUSTERS = "/restart.kubernetes.v1.WorkloadService/ListClusters";

const reasonOf = (work: () => unknown): unknown => {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof Failure) return error.reason;
    throw error;
  }
};

describe("createShares()", () => {
  it("gives a burst at once, and then as many a second as the rate says", () => {
    let now = 0;
    const shares = createShares({ calls: { rate: 2, burst: 3 }, mutations: undefined, streams: undefined }, () => now);
    const take = () => reasonOf(() => shares.takeCall("ann"));
    expect([take(), take(), take(), take()]).toEqual([undefined, undefined, undefined, "RATE_LIMITED"]);
    now += 499;
    expect(take()).toBe("RATE_LIMITED");
    now += 1;
    expect([take(), take()]).toEqual([undefined, "RATE_LIMITED"]);
    now += 3_600_000;
    expect([take(), take(), take(), take()]).toEqual([undefined, undefined, undefined, "RATE_LIMITED"]);
  });

  it("says when to come back", () => {
    const shares = createShares({ calls: { rate: 0.5, burst: 1 }, mutations: undefined, streams: undefined }, () => 0);
    shares.takeCall("ann");
    try {
      shares.takeCall("ann");
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ metadata: { principal: "ann" } });
      expect((error as Failure).details.map(({ value }) => value)).toMatchObject([
        { violations: [{ subject: "ann" }] },
        { retryDelay: { seconds: 2n, nanos: 0 } },
      ]);
    }
  });

  it("keeps no caller's share from another, nor one kind's from another", () => {
    const one = { rate: 1, burst: 1 };
    const shares = createShares({ calls: one, mutations: one, streams: 1 }, () => 0);
    shares.takeCall("ann");
    expect(reasonOf(() => shares.takeCall("bob"))).toBeUndefined();
    expect(reasonOf(() => shares.takeMutation("ann"))).toBeUndefined();
    expect(reasonOf(() => shares.takeMutation("ann"))).toBe("RATE_LIMITED");
    const end = shares.takeStream("ann");
    expect(reasonOf(() => shares.takeStream("ann"))).toBe("RATE_LIMITED");
    expect(reasonOf(() => shares.takeStream("bob"))).toBeUndefined();
    end();
    expect(reasonOf(() => shares.takeStream("ann"))).toBeUndefined();
  });

  it("has no limit where none is configured", () => {
    const shares = createShares({ calls: undefined, mutations: undefined, streams: undefined }, () => 0);
    for (let at = 0; at < 10_000; at++) {
      shares.takeCall("ann");
      shares.takeMutation("ann");
      shares.takeStream("ann");
    }
  });

  it("forgets whom it need not remember, and nobody else", () => {
    let now = 0;
    const shares = createShares({ calls: { rate: 1, burst: 1 }, mutations: undefined, streams: undefined }, () => now);
    for (let at = 0; at < 10_000; at++) shares.takeCall(`p${at}`);
    now = 500;
    shares.takeCall("late");
    now = 1_000;
    shares.takeCall("later");
    expect(reasonOf(() => shares.takeCall("late"))).toBe("RATE_LIMITED");
    expect(reasonOf(() => shares.takeCall("p0"))).toBeUndefined();
  });
});

describe("a server", () => {
  const principal = (name: string): Principal => ({
    id: `token:${name}`,
    authenticator: "token",
    username: name,
    groups: [],
    claims: {},
    credential: "",
    expireTime: undefined,
  });

  const access = {
    authenticate: createAuthenticate({
      token: (token) => ({ principal: principal(token.slice("rsd_".length)), lapsed: () => undefined }),
      jwt: createJwtVerifier(new Map(), { now: () => new Date(), monotonic: () => 0 }),
    }),
    authorizer: {
      ...EVERYTHING_ALLOWED,
      authorize: ({ principal: { username } }: { principal: Principal }) => ({
        allowed: username !== "guest",
        kind: username === "guest" ? ("deny" as const) : ("allow" as const),
        rule: "r",
        groups: [],
      }),
    },
  };
  const SLOW = { rate: 0.001, burst: 2 };
  const as = (name: string) => ({ authorization: `Bearer rsd_${name}` });

  it.each(FORMS)("tells callers over $name that they have had their share, before the body", async (form) => {
    const shares = { calls: { rate: 0.001, burst: 1 }, mutations: undefined, streams: undefined };
    await using fixture = await serve({}, { access, shares });
    const request = { path: form.path, headers: { "content-type": form.json, ...as("ann") } };
    await send(2, fixture.server.url, { ...request, body: form.frame(validJson()) });
    const answer = await send(2, fixture.server.url, { ...request, open: true });
    const error = form.error(answer);
    expect(answer.status).toBe(form.status(429));
    expect(error?.findDetails(ErrorInfoSchema)[0]).toMatchObject({
      reason: "RATE_LIMITED",
      metadata: { principal: "token:ann" },
    });
    expect(error?.findDetails(QuotaFailureSchema)[0]?.violations[0]?.subject).toBe("token:ann");
    expect(error?.findDetails(RetryInfoSchema)).toHaveLength(1);
    const other = { ...request, headers: { ...request.headers, ...as("bob") }, body: form.frame(validJson()) };
    expect(form.error(await send(2, fixture.server.url, other))).toBeUndefined();
  });

  it("counts no health checks, and no one's failures to say who they are", async () => {
    await using fixture = await serve(
      {},
      { access, shares: { calls: SLOW, mutations: undefined, streams: undefined } },
    );
    const ask = async (path: string, headers: Record<string, string> = {}) =>
      (await send(1, fixture.server.url, { path, headers: { ...JSON_TYPE, ...headers }, body: "{}" })).status;
    for (let at = 0; at < 5; at++) {
      expect(await ask("/grpc.health.v1.Health/Check")).toBe(200);
      expect(await ask(CLUSTERS)).toBe(401);
    }
    expect([await ask(CLUSTERS, as("ann")), await ask(CLUSTERS, as("ann")), await ask(CLUSTERS, as("ann"))]).toEqual([
      200, 200, 429,
    ]);
    // Nor is it told what is there.
    expect(await ask("/no/such", as("ann"))).toBe(429);
  });

  it("takes of what changes something what may be done alone", async () => {
    await using fixture = await serve(
      {},
      { access, shares: { calls: undefined, mutations: SLOW, streams: undefined } },
    );
    const ask = async (path: string, name: string, body = validJson()) =>
      (await send(1, fixture.server.url, { path, headers: { ...JSON_TYPE, ...as(name) }, body })).status;
    for (let at = 0; at < 4; at++) {
      expect(await ask(RESTART, "guest")).toBe(403);
      expect(await ask(RESTART, "ann", "{}")).toBe(400);
      expect(await ask(CLUSTERS, "ann", "{}")).toBe(200);
    }
    expect([await ask(RESTART, "ann"), await ask(RESTART, "ann"), await ask(RESTART, "ann")]).toEqual([200, 200, 429]);
  });

  it("gives a stream's place back when it ends", async () => {
    await using fixture = await serve({}, { access, shares: { calls: undefined, mutations: undefined, streams: 1 } });
    const form = FORMS.find(({ name }) => name === "connect-stream");
    if (form === undefined) throw new Error("no such form");
    const watch = () =>
      send(2, fixture.server.url, {
        path: form.path,
        headers: { "content-type": form.json, ...as("ann") },
        body: form.frame(validJson()),
      });
    for (let at = 0; at < 3; at++) {
      expect(form.error(await watch())).toBeUndefined();
      await fixture.line(
        (line) =>
          line.principal === "token:ann" && fixture.lines.filter((one) => one.principal === "token:ann").length > at,
      );
    }
  });
});
