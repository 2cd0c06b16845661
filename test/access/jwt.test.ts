import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createRegistry } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ANY } from "../../src/access/check.ts";
import { compileExpression } from "../../src/access/expression.ts";
import { createJwtVerifier, type IssuerRules } from "../../src/access/jwt.ts";
import { createKeys } from "../../src/access/keys.ts";
import { Failure } from "../../src/core/errors.ts";

const NOON = Date.UTC(2026, 0, 31, 12);
const ISSUER = "https://issuer.example";
const SECONDS = NOON / 1000;

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const stranger = generateKeyPairSync("rsa", { modulusLength: 2048 });

const jwk = (key: KeyObject, kid: string, more: object = {}) => ({ ...key.export({ format: "jwk" }), kid, ...more });

const SET = {
  keys: [
    jwk(rsa.publicKey, "rsa"),
    jwk(ec.publicKey, "ec", { use: "sig", alg: "ES256" }),
    jwk(weak.publicKey, "weak"),
    jwk(rsa.publicKey, "enc", { use: "enc" }),
    jwk(rsa.publicKey, "wrap", { key_ops: ["encrypt"] }),
    jwk(rsa.privateKey, "private"),
    { kty: "oct", kid: "oct", k: Buffer.from("secret").toString("base64url") },
    jwk(rsa.publicKey, "twice"),
    jwk(stranger.publicKey, "twice"),
    { kty: "RSA", kid: "broken", n: "AA", e: "AQAB" },
    "nonsense",
  ],
};

const b64 = (value: unknown): string =>
  Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

const HASHES: Readonly<Record<string, string>> = { RS256: "sha256", ES256: "sha256", PS256: "sha256", RS512: "sha512" };

/** A token as some issuer would make it. */
function tokenOf(header: Record<string, unknown>, payload: unknown, key: KeyObject = rsa.privateKey): string {
  const text = `${b64(header)}.${b64(payload)}`;
  const algorithm = HASHES[String(header.alg)] ?? "sha256";
  const pss = String(header.alg).startsWith("PS") ? { padding: 6, saltLength: 32 } : {};
  const signature = sign(algorithm, Buffer.from(text), { key, dsaEncoding: "ieee-p1363", ...pss });
  return `${text}.${signature.toString("base64url")}`;
}

const CLAIMS = { iss: ISSUER, aud: "restartd", sub: "ann", iat: SECONDS - 10, exp: SECONDS + 600 };
const HEADER = { alg: "RS256", kid: "rsa" };

const when = (text: string) => {
  const { evaluate } = compileExpression(text, { variables: new Map([["claims", ANY]]) }, createRegistry());
  if (evaluate === undefined) throw new Error(text);
  return evaluate;
};

const RULES: IssuerRules = {
  name: "okta",
  issuer: ISSUER,
  audiences: new Set(["restartd", "other"]),
  algorithms: new Set(["RS256", "ES256"]),
  username: ["sub"],
  groups: ["groups"],
  claims: ["environment", "deep"],
  require: [],
  maxLifetimeMs: 24 * 3_600_000,
  clockSkewMs: 30_000,
};

function verifierOf(rules: Partial<IssuerRules> = {}, now = () => new Date(NOON)) {
  const keys = createKeys({ authenticator: "okta", fetch: async () => SET, monotonic: () => 0, warn: () => {} });
  return createJwtVerifier(new Map([[ISSUER, { ...RULES, ...rules, keys }]]), { now, monotonic: () => 0 });
}

/** The word that a token is refused with; undefined when it is not. */
async function whyOf(token: string, rules: Partial<IssuerRules> = {}): Promise<unknown> {
  try {
    await verifierOf(rules)(token);
    return undefined;
  } catch (error) {
    if (error instanceof Failure && error.reason === "UNAUTHENTICATED") return error.metadata.why;
    throw error;
  }
}

const claims = (more: Record<string, unknown>): string => {
  const all = { ...CLAIMS, ...more };
  return tokenOf(HEADER, Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)));
};

const hs256 = (secret: string | Buffer): string => {
  const text = `${b64({ alg: "HS256", kid: "rsa" })}.${b64(CLAIMS)}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
};

const [head = "", body = "", signature = ""] = claims({}).split(".");
const publicPem = rsa.publicKey.export({ type: "spki", format: "pem" });

/** What is wrong with a token, the token, and the word that refuses it. */
const ATTACKS: readonly (readonly [string, string, string])[] = [
  ["no signature", `${head}.${body}.`, "BAD_SIGNATURE"],
  ["algorithm none", `${b64({ alg: "none", kid: "rsa" })}.${body}.`, "ALGORITHM"],
  ["algorithm None", `${b64({ alg: "None", kid: "rsa" })}.${body}.`, "ALGORITHM"],
  ["no algorithm", `${b64({ kid: "rsa" })}.${body}.${signature}`, "ALGORITHM"],
  ["an algorithm that is no text", `${b64({ alg: ["RS256"], kid: "rsa" })}.${body}.${signature}`, "ALGORITHM"],
  ["the public key as a secret", hs256(publicPem), "ALGORITHM"],
  ["an algorithm that is not allowed", tokenOf({ alg: "PS256", kid: "rsa" }, CLAIMS), "ALGORITHM"],
  ["a stronger one that is not allowed", tokenOf({ alg: "RS512", kid: "rsa" }, CLAIMS), "ALGORITHM"],
  ["a key of another algorithm", tokenOf({ alg: "ES256", kid: "rsa" }, CLAIMS), "UNKNOWN_KEY"],
  ["another algorithm than the key's", tokenOf({ alg: "RS256", kid: "ec" }, CLAIMS), "UNKNOWN_KEY"],
  ["no kid", tokenOf({ alg: "RS256" }, CLAIMS), "UNKNOWN_KEY"],
  ["an empty kid", tokenOf({ alg: "RS256", kid: "" }, CLAIMS), "UNKNOWN_KEY"],
  ["a kid that is no text", tokenOf({ alg: "RS256", kid: 1 }, CLAIMS), "UNKNOWN_KEY"],
  ["a kid of nobody", tokenOf({ alg: "RS256", kid: "../../etc/passwd" }, CLAIMS), "UNKNOWN_KEY"],
  ["a kid of Object", tokenOf({ alg: "RS256", kid: "__proto__" }, CLAIMS), "UNKNOWN_KEY"],
  ["a kid that two keys have", tokenOf({ alg: "RS256", kid: "twice" }, CLAIMS), "UNKNOWN_KEY"],
  ["a key for encryption", tokenOf({ alg: "RS256", kid: "enc" }, CLAIMS), "UNKNOWN_KEY"],
  ["a key for other operations", tokenOf({ alg: "RS256", kid: "wrap" }, CLAIMS), "UNKNOWN_KEY"],
  ["a key whose private half is published", tokenOf({ alg: "RS256", kid: "private" }, CLAIMS), "UNKNOWN_KEY"],
  ["a key too short", tokenOf({ alg: "RS256", kid: "weak" }, CLAIMS, weak.privateKey), "UNKNOWN_KEY"],
  ["a stranger's key", tokenOf(HEADER, CLAIMS, stranger.privateKey), "BAD_SIGNATURE"],
  [
    "a key of its own (jwk)",
    tokenOf({ ...HEADER, jwk: jwk(stranger.publicKey, "rsa") }, CLAIMS, stranger.privateKey),
    "BAD_SIGNATURE",
  ],
  [
    "an address of keys of its own (jku)",
    tokenOf({ ...HEADER, jku: "https://evil.example/jwks" }, CLAIMS, stranger.privateKey),
    "BAD_SIGNATURE",
  ],
  ["extensions", tokenOf({ ...HEADER, crit: ["b64"], b64: false }, CLAIMS), "MALFORMED"],
  ["an empty list of extensions", tokenOf({ ...HEADER, crit: [] }, CLAIMS), "MALFORMED"],
  ["another payload under the signature", `${head}.${b64({ ...CLAIMS, sub: "root" })}.${signature}`, "BAD_SIGNATURE"],
  ["a header that is no JSON", `${b64("hunter2")}.${body}.${signature}`, "MALFORMED"],
  ["a header that is a list", `${b64([HEADER])}.${body}.${signature}`, "MALFORMED"],
  ["a payload that is no object", `${head}.${b64('"a"')}.${signature}`, "MALFORMED"],
  ["no issuer", claims({ iss: undefined }), "UNKNOWN_ISSUER"],
  ["another issuer", claims({ iss: "https://evil.example" }), "UNKNOWN_ISSUER"],
  ["the issuer and a slash", claims({ iss: `${ISSUER}/` }), "UNKNOWN_ISSUER"],
  ["the issuer in a list", claims({ iss: [ISSUER] }), "UNKNOWN_ISSUER"],
  ["the issuer in capitals", claims({ iss: ISSUER.toUpperCase() }), "UNKNOWN_ISSUER"],
  ["no audience", claims({ aud: undefined }), "WRONG_AUDIENCE"],
  ["an empty audience", claims({ aud: "" }), "WRONG_AUDIENCE"],
  ["no audience in a list", claims({ aud: [] }), "WRONG_AUDIENCE"],
  ["somebody else's audience", claims({ aud: ["argocd", "kubernetes"] }), "WRONG_AUDIENCE"],
  ["an audience inside another", claims({ aud: "restartd.example" }), "WRONG_AUDIENCE"],
  ["an audience in a list in a list", claims({ aud: [["restartd"]] }), "WRONG_AUDIENCE"],
  ["no end", claims({ exp: undefined }), "CLAIMS_REFUSED"],
  ["an end in words", claims({ exp: "2099-01-01" }), "CLAIMS_REFUSED"],
  [
    "an end that never comes",
    tokenOf(HEADER, JSON.stringify(CLAIMS).replace(/"exp":\d+/, '"exp":1e400')),
    "CLAIMS_REFUSED",
  ],
  ["an end in the year 9999", claims({ exp: 253_370_764_800 }), "LIFETIME_TOO_LONG"],
  ["a life too long", claims({ iat: SECONDS, exp: SECONDS + 86_401 }), "LIFETIME_TOO_LONG"],
  ["an end in the past", claims({ iat: SECONDS - 600, exp: SECONDS - 31 }), "EXPIRED"],
  ["no beginning", claims({ iat: undefined }), "CLAIMS_REFUSED"],
  ["a beginning in the future", claims({ iat: SECONDS + 31 }), "NOT_YET_VALID"],
  ["not yet", claims({ nbf: SECONDS + 31 }), "NOT_YET_VALID"],
  ["a nbf in words", claims({ nbf: "now" }), "CLAIMS_REFUSED"],
  ["no name", claims({ sub: undefined }), "CLAIMS_REFUSED"],
  ["an empty name", claims({ sub: "" }), "CLAIMS_REFUSED"],
  ["a number for a name", claims({ sub: 42 }), "CLAIMS_REFUSED"],
  ["null for a name", claims({ sub: null }), "CLAIMS_REFUSED"],
  ["a name with a line feed", claims({ sub: "ann\nroot" }), "CLAIMS_REFUSED"],
  ["a name with a blank at its end", claims({ sub: "ann " }), "CLAIMS_REFUSED"],
  [
    "half a character in a name",
    tokenOf(HEADER, JSON.stringify(CLAIMS).replace('"ann"', '"\\ud800"')),
    "CLAIMS_REFUSED",
  ],
  ["a name too long", claims({ sub: "a".repeat(508) }), "CLAIMS_REFUSED"],
  ["groups that are a number", claims({ groups: 1 }), "CLAIMS_REFUSED"],
  ["groups that are an object", claims({ groups: { admin: true } }), "CLAIMS_REFUSED"],
  ["a group that is a number", claims({ groups: ["a", 1] }), "CLAIMS_REFUSED"],
  ["a group that is empty", claims({ groups: [""] }), "CLAIMS_REFUSED"],
  ["201 groups", claims({ groups: Array.from({ length: 201 }, (_, at) => `g${at}`) }), "CLAIMS_REFUSED"],
  ["a group too long", claims({ groups: ["a".repeat(257)] }), "CLAIMS_REFUSED"],
  ["a listed claim too deep", claims({ deep: JSON.parse(`${"[".repeat(9)}1${"]".repeat(9)}`) }), "CLAIMS_REFUSED"],
];

describe("createJwtVerifier()", () => {
  it.each(ATTACKS)("refuses a token with %s", async (_, token, why) => {
    expect(await whyOf(token)).toBe(why);
  });

  it.each(ATTACKS)("says nothing of what is in a token with %s", async (_, token) => {
    const error = await verifierOf()(token).catch((failure: unknown) => failure);
    if (!(error instanceof Failure)) throw new Error("it was not refused");
    const said = JSON.stringify([error.message, error.metadata, error.details, String(error.cause)]);
    for (const secret of ["hunter2", "evil.example", "root", "argocd", token.slice(10, 40)])
      expect(said).not.toContain(secret);
  });

  it.each([
    ["RS256", tokenOf(HEADER, CLAIMS)],
    ["ES256", tokenOf({ alg: "ES256", kid: "ec" }, CLAIMS, ec.privateKey)],
    ["a list of audiences", claims({ aud: ["argocd", "other"] })],
    [
      "headers that mean nothing here",
      tokenOf({ ...HEADER, typ: "JWT", x5u: "https://evil.example", jku: "https://evil.example" }, CLAIMS),
    ],
    ["a claim that nobody lists, however deep", claims({ other: JSON.parse(`${"[".repeat(500)}1${"]".repeat(500)}`) })],
    ["times within the skew", claims({ iat: SECONDS + 30, nbf: SECONDS + 30, exp: SECONDS + 60 })],
    ["an end within the skew", claims({ exp: SECONDS - 29 })],
    ["fractions of seconds", claims({ iat: SECONDS - 0.5, exp: SECONDS + 1.5 })],
  ])("takes a token with %s", async (_, token) => {
    expect(await whyOf(token)).toBeUndefined();
  });

  it("makes a principal of it", async () => {
    const { principal, lapsed } = await verifierOf()(
      claims({ groups: ["a", "system:masters"], environment: "prod", other: 1, jti: "4711" }),
    );
    expect(principal).toEqual({
      id: "okta:ann",
      authenticator: "okta",
      username: "ann",
      groups: ["okta:a", "okta:system:masters"],
      claims: { environment: "prod" },
      credential: "jti 4711",
      expireTime: (SECONDS + 600) * 1000,
    });
    expect(lapsed()).toBeUndefined();
  });

  it("ends what began with it when it ends", async () => {
    let time = NOON;
    const { lapsed } = await verifierOf({}, () => new Date(time))(claims({}));
    time = (SECONDS + 600) * 1000 + 29_999;
    expect(lapsed()).toBeUndefined();
    time += 1;
    expect(lapsed()?.metadata).toEqual({ why: "EXPIRED", authenticator: "okta" });
  });

  it("finds names and groups inside others", async () => {
    const nested = { username: ["a", "b"], groups: ["realm_access", "roles"] };
    const { principal } = await verifierOf(nested)(claims({ a: { b: "bob" }, realm_access: { roles: "one" } }));
    expect([principal.id, principal.groups]).toEqual(["okta:bob", ["okta:one"]]);
    expect(await whyOf(claims({ a: { b: { c: 1 } } }), nested)).toBe("CLAIMS_REFUSED");
    expect(await whyOf(claims({ a: "b" }), nested)).toBe("CLAIMS_REFUSED");
    expect(await whyOf(claims({}), { username: ["__proto__", "constructor", "name"] })).toBe("CLAIMS_REFUSED");
  });

  it.each([
    [{ email: "a@b.example", email_verified: true }, undefined],
    [{ email: "a@b.example", email_verified: "true" }, "CLAIMS_REFUSED"],
    [{ email: "a@b.example", email_verified: false }, "CLAIMS_REFUSED"],
    [{ email: "a@b.example" }, "CLAIMS_REFUSED"],
  ])("wants an address to be verified: %j", async (more, why) => {
    expect(await whyOf(claims(more), { username: ["email"] })).toBe(why);
  });

  it.each([
    [{ repository_owner_id: "1342004" }, undefined],
    [{ repository_owner_id: 1342004 }, "CLAIMS_REFUSED"],
    [{ repository_owner_id: "1" }, "CLAIMS_REFUSED"],
    [{}, "CLAIMS_REFUSED"],
  ])("requires what the configuration does: %j", async (more, why) => {
    const require = [{ when: when("claims.repository_owner_id == '1342004'"), message: "only repositories of acme" }];
    expect(await whyOf(claims(more), { require })).toBe(why);
  });

  it("would be found out if a guard were missing", async () => {
    // Each guard taken away, and the attacks that pass then: none of them may be empty.
    const passing = async (rules: Partial<IssuerRules>, spoil: (token: string) => string = (token) => token) => {
      const words = await Promise.all(ATTACKS.map(([, token]) => whyOf(spoil(token), rules)));
      return ATTACKS.filter((_, at) => words[at] === undefined).map(([what]) => what);
    };
    expect(await passing({})).toEqual([]);
    const anyAudience = { audiences: new Set(["restartd", "argocd", "restartd.example", ""]) };
    expect(await passing(anyAudience)).toEqual(
      expect.arrayContaining(["somebody else's audience", "an empty audience"]),
    );
    expect(await passing({ algorithms: new Set(["RS256", "ES256", "PS256", "RS512"]) })).toContain(
      "an algorithm that is not allowed",
    );
    expect(await passing({ maxLifetimeMs: Number.POSITIVE_INFINITY })).toContain("an end in the year 9999");
    expect(await passing({ clockSkewMs: 3_600_000 })).toEqual(
      expect.arrayContaining(["an end in the past", "not yet", "a beginning in the future"]),
    );
    expect(await passing({ groups: undefined })).toEqual(
      expect.arrayContaining(["groups that are a number", "201 groups"]),
    );
    expect(await passing({ claims: [] })).toContain("a listed claim too deep");
  });
});
