import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { expect, it } from "vitest";
import type { Authenticated } from "../../src/access/authenticated.ts";
import { createJwtVerifier } from "../../src/access/jwt.ts";
import { createKeys } from "../../src/access/keys.ts";
import { createVerifiedTokens } from "../../src/access/verified-tokens.ts";
import { Failure } from "../../src/core/errors.ts";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const NOON = Date.UTC(2026, 0, 31, 12);
const ISSUER = "https://issuer.example";

const first = generateKeyPairSync("ec", { namedCurve: "P-256" });
const second = generateKeyPairSync("ec", { namedCurve: "P-256" });

const keySet = (...keys: (readonly [kid: string, key: KeyObject])[]) => ({
  keys: keys.map(([kid, key]) => ({ ...key.export({ format: "jwk" }), kid })),
});

/** A token of the first key, good from noon for ten minutes, unless its claims say something else. */
function tokenOf(claims: object = {}): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = NOON / SECOND;
  const text = `${part({ alg: "ES256", kid: "1" })}.${part({ iss: ISSUER, aud: "restartd", sub: "ann", iat, exp: iat + 600, ...claims })}`;
  const signature = sign("sha256", Buffer.from(text), { key: first.privateKey, dsaEncoding: "ieee-p1363" });
  return `${text}.${signature.toString("base64url")}`;
}

type Verify = (token: string) => Promise<Authenticated>;

/** An issuer whose keys are turned together with the clocks, and what stands between callers and the verifier. */
function played(around: (verify: Verify) => Verify = (verify) => verify) {
  const world = { ms: 0, set: keySet(["1", first.publicKey]), away: false, verified: 0 };
  const monotonic = (): number => world.ms;
  const keys = createKeys({
    authenticator: "okta",
    monotonic,
    warn: () => {},
    fetch: async () => {
      if (world.away) throw new Error("away");
      return world.set;
    },
  });
  const issuer = {
    name: "okta",
    issuer: ISSUER,
    audiences: new Set(["restartd"]),
    algorithms: new Set(["ES256"]),
    username: ["sub"],
    groups: ["groups"],
    claims: [],
    // It is asked once of each token that is verified.
    require: [{ when: () => ++world.verified > 0, message: "" }],
    maxLifetimeMs: 48 * 60 * MINUTE,
    clockSkewMs: 0,
    keys,
  };
  const verify = around(
    createJwtVerifier(new Map([[ISSUER, issuer]]), { now: () => new Date(NOON + world.ms), monotonic }),
  );
  /** `ok`, or the word that refuses it. */
  const ask = (token: string): Promise<string> =>
    verify(token).then(
      () => "ok",
      (error: unknown) => {
        if (!(error instanceof Failure)) throw error;
        return String(error.metadata.why ?? error.reason);
      },
    );
  return { world, ask, verify };
}

/** Lets keys be read that are read beside a call. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

it("verifies a token once, and again after a minute", async () => {
  const { world, ask } = played();
  const token = tokenOf();
  expect([await ask(token), await ask(token), world.verified]).toEqual(["ok", "ok", 1]);
  world.ms = MINUTE - 1;
  expect([await ask(token), world.verified]).toEqual(["ok", 1]);
  world.ms = MINUTE;
  expect([await ask(token), await ask(token), world.verified]).toEqual(["ok", "ok", 2]);
});

it("knows callers apart, and a token from one that says something else", async () => {
  const { ask, verify } = played();
  const ann = tokenOf({ groups: ["shop"] });
  const bob = tokenOf({ sub: "bob" });
  for (let turn = 0; turn < 2; turn++) {
    const principals = [(await verify(ann)).principal, (await verify(bob)).principal];
    expect(principals.map(({ id, groups }) => [id, groups])).toEqual([
      ["okta:ann", ["okta:shop"]],
      ["okta:bob", []],
    ]);
  }
  const [head = "", , signature = ""] = ann.split(".");
  const payload = Buffer.from(ann.split(".")[1] ?? "", "base64url").toString();
  const forged = Buffer.from(payload.replace("shop", "boss")).toString("base64url");
  expect(await ask(`${head}.${forged}.${signature}`)).toBe("BAD_SIGNATURE");
  expect(await ask(`${head}.${ann.split(".")[1]}.`)).toBe("BAD_SIGNATURE");
});

/** What a token that was verified a moment ago must not outlive: each begins with one that holds. */
const ENDS: Readonly<Record<string, (play: ReturnType<typeof played>) => Promise<string>>> = {
  async "its own end"({ world, ask }) {
    const token = tokenOf({ exp: NOON / SECOND + 30 });
    expect(await ask(token)).toBe("ok");
    world.ms = 30 * SECOND - 1;
    expect(await ask(token)).toBe("ok");
    world.ms = 30 * SECOND;
    return ask(token);
  },
  async "a clock that is set back before its beginning"({ world, ask }) {
    const token = tokenOf({ nbf: NOON / SECOND + 10 });
    world.ms = 10 * SECOND;
    expect(await ask(token)).toBe("ok");
    world.ms = 10 * SECOND - 1;
    return ask(token);
  },
  async "a key that its issuer withdraws"({ world, ask }) {
    const token = tokenOf();
    expect(await ask(tokenOf({ sub: "bob" }))).toBe("ok");
    world.ms = 5 * MINUTE;
    expect(await ask(token)).toBe("ok");
    world.set = keySet(["2", second.publicKey]);
    world.ms = 5 * MINUTE + 1;
    expect(await ask(token)).toBe("ok"); // the keys are read meanwhile
    await settled();
    return ask(token);
  },
  async "a key that another one takes the place of, with its id"({ world, ask }) {
    const token = tokenOf();
    expect(await ask(tokenOf({ sub: "bob" }))).toBe("ok");
    world.ms = 5 * MINUTE;
    expect(await ask(token)).toBe("ok");
    world.set = keySet(["1", second.publicKey]);
    world.ms = 5 * MINUTE + 1;
    await ask(token);
    await settled();
    return ask(token);
  },
  async "keys that are too old, since their issuer is away"({ world, ask }) {
    const token = tokenOf({ exp: NOON / SECOND + 47 * 3_600 });
    expect(await ask(token)).toBe("ok");
    world.away = true;
    world.ms = 24 * 60 * MINUTE - 30 * SECOND;
    expect(await ask(token)).toBe("ok");
    world.ms = 24 * 60 * MINUTE + 1;
    return ask(token);
  },
};

const WORDS = ["EXPIRED", "NOT_YET_VALID", "UNKNOWN_KEY", "BAD_SIGNATURE", "ISSUER_UNAVAILABLE"];

it.each(Object.keys(ENDS).map((what, at) => [what, WORDS[at]]))("does not outlive %s", async (what, word) => {
  expect(await ENDS[String(what)]?.(played())).toBe(word);
});

it("would be found out if what was verified were taken for good without another look", async () => {
  const careless = (verify: Verify): Verify => {
    const known = new Map<string, Authenticated>();
    return async (token) => {
      const found = known.get(token) ?? (await verify(token));
      known.set(token, found);
      return found;
    };
  };
  for (const end of Object.values(ENDS)) expect(await end(played(careless))).toBe("ok");
});

it("keeps nothing for whoever is refused", async () => {
  const { world, ask } = played();
  const early = tokenOf({ nbf: NOON / SECOND + 10 });
  expect(await ask(early)).toBe("NOT_YET_VALID");
  world.ms = 10 * SECOND;
  expect(await ask(early)).toBe("ok");
});

it("keeps so many tokens, and lets the oldest go", () => {
  const kept = createVerifiedTokens<number>(() => 0);
  for (let at = 0; at < 1_000; at++) kept.keep(`token ${at}`, at);
  kept.keep("token 0", 0); // now the youngest
  kept.keep("token 1000", 1_000);
  expect(["token 0", "token 1", "token 2", "token 1000"].map((token) => kept.find(token))).toEqual([
    0,
    undefined,
    2,
    1_000,
  ]);
});
