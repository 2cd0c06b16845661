import { generateKeyPairSync } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { createFetchKeys } from "../../src/access/fetch-keys.ts";
import { createKeys, type FetchKeys } from "../../src/access/keys.ts";
import { Failure } from "../../src/core/errors.ts";

const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const setOf = (...kids: string[]) => ({ keys: kids.map((kid) => ({ ...publicKey.export({ format: "jwk" }), kid })) });

/** Keys of an issuer that a test plays, with a clock that it turns. */
function played(first: FetchKeys) {
  const world = { now: 0, fetch: first, fetches: 0, warnings: [] as string[] };
  const keys = createKeys({
    authenticator: "okta",
    monotonic: () => world.now,
    warn: (message) => world.warnings.push(message),
    fetch: () => {
      world.fetches++;
      return world.fetch();
    },
  });
  const ask = (kid: string): Promise<string> =>
    keys.find(kid, "ES256").then(
      () => "found",
      (error: unknown) => {
        if (!(error instanceof Failure)) throw error;
        return String(error.metadata.why ?? error.reason);
      },
    );
  return { world, ask };
}

const away: FetchKeys = async () => {
  throw new Error("away");
};

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Lets what was begun in the background end. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("createKeys()", () => {
  it("asks once for everybody, and not again for a key that it knows", async () => {
    const { world, ask } = played(async () => setOf("a"));
    expect(new Set(await Promise.all(Array.from({ length: 50 }, () => ask("a"))))).toEqual(new Set(["found"]));
    expect(world.fetches).toBe(1);
    expect(await ask("a")).toBe("found");
    expect(world.fetches).toBe(1);
  });

  it("takes a new key at once, but asks no more than once in ten seconds for ids that anybody can make up", async () => {
    const { world, ask } = played(async () => setOf("a"));
    await ask("a");
    world.fetch = async () => setOf("a", "b");
    world.now = 10 * SECOND;
    expect(await ask("b")).toBe("found");
    expect(world.fetches).toBe(2);
    const made = Array.from({ length: 400 }, (_, at) => ask(`x${at}`));
    expect(new Set(await Promise.all(made))).toEqual(new Set(["UNKNOWN_KEY"]));
    expect(world.fetches).toBe(2);
    world.now += 10 * SECOND;
    expect(await ask("x")).toBe("UNKNOWN_KEY");
    expect(world.fetches).toBe(3);
  });

  it("forgets a key that was withdrawn within five minutes, without anybody waiting", async () => {
    const { world, ask } = played(async () => setOf("a", "b"));
    await ask("a");
    world.fetch = async () => setOf("b");
    world.now = 5 * MINUTE + 1;
    expect(await ask("a")).toBe("found"); // and is asked about behind it
    await settled();
    expect(await ask("a")).toBe("UNKNOWN_KEY");
  });

  it("serves on with the keys that it has for a day without its issuer", async () => {
    const { world, ask } = played(async () => setOf("a"));
    await ask("a");
    world.fetch = away;
    for (const time of [6 * MINUTE, HOUR, 12 * HOUR, 24 * HOUR]) {
      world.now = time;
      expect(await ask("a")).toBe("found");
      await settled();
    }
    expect(world.warnings.at(-1)).toMatch(/^issuer okta gives no keys: away; its keys are 1440 minutes old$/);
    world.now = 24 * HOUR + 1 + MINUTE;
    expect(await ask("a")).toBe("ISSUER_UNAVAILABLE");
    world.fetch = async () => setOf("a");
    world.now += MINUTE;
    expect(await ask("a")).toBe("found");
  });

  it("does not say of a key that it does not know that the issuer has none such, while the issuer cannot be asked", async () => {
    const { world, ask } = played(async () => setOf("a"));
    await ask("a");
    world.fetch = away;
    world.now = 10 * SECOND - 1;
    expect(await ask("b")).toBe("UNKNOWN_KEY"); // it has just been asked, and answered
    world.now = 10 * SECOND;
    expect(await ask("b")).toBe("ISSUER_UNAVAILABLE");
    expect(await ask("a")).toBe("found");
    expect(world.fetches).toBe(2);
    world.fetch = async () => setOf("a", "b");
    world.now = 20 * SECOND;
    expect([await ask("b"), await ask("c")]).toEqual(["found", "UNKNOWN_KEY"]);
  });

  it("is unavailable while it never had a key, asking less and less often", async () => {
    const { world, ask } = played(away);
    const asked: number[] = [];
    for (world.now = 0; world.now < 10 * MINUTE; world.now += 500) {
      const before = world.fetches;
      expect(await ask("a")).toBe("ISSUER_UNAVAILABLE");
      if (world.fetches > before) asked.push(world.now / 1000);
    }
    expect(asked.slice(0, 8)).toEqual([0, 1, 3, 7, 15, 31, 63, 123]);
    expect(Math.max(...asked.map((time, at) => time - (asked[at - 1] ?? time)))).toBe(60);
  });

  it("says RetryInfo and who is away", async () => {
    const keys = createKeys({ authenticator: "okta", fetch: away, monotonic: () => 0, warn: () => {} });
    const error = await keys.find("a", "ES256").catch((failure: unknown) => failure);
    expect(error).toMatchObject({
      reason: "ISSUER_UNAVAILABLE",
      outcome: "not_applied",
      metadata: { authenticator: "okta" },
    });
    expect((error as Failure).details).toHaveLength(1);
  });

  it.each([[null], [[]], [{}], [{ keys: "a" }], ["<html>"]])("does not take %j for a key set", async (answer) => {
    const { ask } = played(async () => answer);
    expect(await ask("a")).toBe("ISSUER_UNAVAILABLE");
  });

  it("takes a hundred keys of a set, and leaves the others", async () => {
    const kids = Array.from({ length: 101 }, (_, at) => `k${at}`);
    const { ask } = played(async () => setOf(...kids));
    expect([await ask("k0"), await ask("k99"), await ask("k100")]).toEqual(["found", "found", "UNKNOWN_KEY"]);
  });
});

/** An issuer on loopback, of which a test says how it answers. */
async function issuerThat(answer: (base: string) => RequestListener) {
  const server = createServer((request, response) => answer(base)(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    base,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const json =
  (value: unknown, status = 200): RequestListener =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };

const discovered =
  (document: (base: string) => unknown, keys: RequestListener = json(setOf("a"))) =>
  (base: string): RequestListener =>
  (request, response) =>
    request.url === "/.well-known/openid-configuration"
      ? json(document(base))(request, response)
      : keys(request, response);

describe("createFetchKeys()", () => {
  const fetchFrom = async (answer: (base: string) => RequestListener, tenant = "") => {
    await using issuer = await issuerThat(answer);
    await using keys = createFetchKeys({ kind: "discovery", issuer: `${issuer.base}${tenant}` }, undefined);
    return await keys.fetch();
  };

  it("finds the keys where the issuer says that they are", async () => {
    const document = (base: string) => ({ issuer: base, jwks_uri: `${base}/keys` });
    expect(await fetchFrom(discovered(document))).toEqual(setOf("a"));
  });

  it.each<[string, (base: string) => RequestListener, RegExp]>([
    [
      "names another issuer",
      discovered((base) => ({ issuer: `${base}/`, jwks_uri: `${base}/keys` })),
      /another issuer's/,
    ],
    ["names no address", discovered((base) => ({ issuer: base })), /no address of keys/],
    [
      "names one in clear",
      discovered((base) => ({ issuer: base, jwks_uri: "http://evil.example/keys" })),
      /no address of keys that is https/,
    ],
    ["names a file", discovered((base) => ({ issuer: base, jwks_uri: "file:///etc/passwd" })), /no address of keys/],
    ["is no JSON", () => (_, response) => response.end("<html>"), /answers what is no JSON/],
    ["is an error", () => json({}, 503), /answers 503/],
    [
      "leads elsewhere",
      (base) => (_, response) => response.writeHead(302, { location: `${base}/elsewhere` }).end(),
      /answers 302/,
    ],
    [
      "is endless",
      () => (_, response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const more = (): void => {
          while (!response.destroyed && response.write(" ".repeat(64 * 1024)));
        };
        response.on("drain", more);
        more();
      },
      /./,
    ],
    ["ends in the middle", () => (request) => request.socket.destroy(), /./],
  ])("refuses a discovery document that %s", async (_, answer, wrong) => {
    const error = await fetchFrom(answer).catch((failure: unknown) => failure);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toMatch(wrong);
  });
});
