import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createRegistry } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { AccessService } from "../../gen/restart/access/v1/access_service_pb.ts";
import { file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { readAccess } from "../../src/access/access.ts";
import { loadConfig } from "../../src/config.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { permissionsOf } from "../../src/serve.ts";
import { TARGETS } from "../../src/targets/index.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";

const validator = newValidator(createRegistry(...withDependencies([file_restart_config_v1_config])));
const permissions = permissionsOf(TARGETS.flatMap(({ services }) => services));
const RULES = { rules: [{ name: "all", permissions: ["*"], targets: ["**"] }] };

/** What a configuration with some issuers is told, mistakes and warnings. */
async function told(issuers: readonly object[], authorization: object = RULES): Promise<string> {
  await using folder = await temporaryFolder();
  const sections = {
    kubernetes: { clusters: [{ name: "a", in_cluster: true }] },
    authentication: { issuers },
    authorization,
  };
  const file = await folder.write("restartd.yaml", stringify(sections));
  try {
    const { warnings } = loadConfig(file, {
      validator,
      storeInMemory: true,
      readSections: () => undefined,
      readAccess: (read, reader) => readAccess(read, reader, { validator, now: () => new Date(), ...permissions }),
    });
    return warnings.map(({ field, message }) => `${field}: ${message}`).join("\n");
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

const OKTA = { name: "okta", issuer: "https://acme.okta.com/oauth2/default", audiences: ["restartd"] };

describe("authentication.issuers", () => {
  it("are taken with what they need, and everything that they may have", async () => {
    expect(await told([OKTA])).toBe("");
    const all = {
      ...OKTA,
      keys: { uri: "https://acme.okta.com/keys" },
      algorithms: ["RS256", "PS512", "ES384", "EdDSA"],
      username: { path: ["a", "b"] },
      groups: { claim: "groups" },
      claims: ["environment"],
      require: [{ when: "claims.x == 1 && claims.y.z in ['a']", message: "no" }],
      max_lifetime: "720h",
      clock_skew: "5m",
    };
    const rules = {
      rules: [
        {
          name: "a",
          principals: ["okta:*"],
          permissions: ["*"],
          targets: ["**"],
          when: "principal.claims.environment == 'prod'",
        },
      ],
    };
    expect(await told([all, { ...OKTA, name: "other", issuer: "http://127.0.0.1:1" }], rules)).toBe("");
  });

  it.each<[string, readonly object[], RegExp]>([
    ["a reserved name", [{ ...OKTA, name: "token" }], /issuers\[0\]\.name: must not be a reserved name/],
    ["a name in capitals", [{ ...OKTA, name: "Okta" }], /issuers\[0\]\.name: must be 1 to 31 of a-z/],
    ["a name too long", [{ ...OKTA, name: "a".repeat(32) }], /issuers\[0\]\.name: must be 1 to 31/],
    ["a name twice", [OKTA, { ...OKTA, issuer: "https://b" }], /issuers\[1\]\.name: must be unique/],
    ["an issuer twice", [OKTA, { ...OKTA, name: "b" }], /issuers\[1\]\.issuer: must be unique/],
    ["an issuer in clear", [{ ...OKTA, issuer: "http://acme.okta.com" }], /issuers\[0\]\.issuer: must be https:/],
    ["no issuer", [{ ...OKTA, issuer: undefined }], /issuers\[0\]\.issuer: must be set/],
    ["keys in clear", [{ ...OKTA, keys: { uri: "http://acme.okta.com/keys" } }], /keys\.uri: must be https:/],
    ["no audience", [{ ...OKTA, audiences: [] }], /issuers\[0\]\.audiences: must have at least one audience/],
    ["an empty audience", [{ ...OKTA, audiences: [""] }], /audiences\[0\]: must not be empty/],
    ["a shared secret's algorithm", [{ ...OKTA, algorithms: ["HS256"] }], /algorithms\[0\]: must be one of RS256/],
    ["no algorithm", [{ ...OKTA, algorithms: ["none"] }], /algorithms\[0\]: must be one of RS256/],
    [
      "an address that nobody verified",
      [{ ...OKTA, username: { claim: "email" } }],
      /username: must have a require that reads claims\.email_verified/,
    ],
    ["a life too long", [{ ...OKTA, max_lifetime: "721h" }], /max_lifetime: must be/],
    ["a skew too large", [{ ...OKTA, clock_skew: "301s" }], /clock_skew: must be/],
    [
      "a claim and a path",
      [{ ...OKTA, username: { claim: "a", path: ["b"] } }],
      /username: must have either claim or path/,
    ],
    ["what is no CEL", [{ ...OKTA, require: [{ when: "claims.a ==" }] }], /require\[0\]\.when: is not CEL/],
    [
      "what is not there",
      [{ ...OKTA, require: [{ when: "claim.a == 1" }] }],
      /require\[0\]\.when: claim is not a variable: did you mean claims\?/,
    ],
  ])("are refused with %s", async (_, issuers, wrong) => {
    expect(await told(issuers)).toMatch(wrong);
  });

  it("warn of one that anybody can have tokens of", async () => {
    const github = { ...OKTA, name: "github", issuer: "https://token.actions.githubusercontent.com" };
    expect(await told([github])).toMatch(
      /anybody can have tokens of token\.actions\.githubusercontent\.com: require one of repository_id/,
    );
    expect(await told([{ ...github, require: [{ when: "claims.repository_owner_id == '1'" }] }])).toBe("");
    expect(await told([{ ...github, require: [{ when: "claims.repository == 'acme/shop'" }] }])).toMatch(/anybody can/);
  });

  it("take an address as a name when it has to be verified", async () => {
    const email = { ...OKTA, username: { claim: "email" }, require: [{ when: "claims.email_verified == true" }] };
    expect(await told([email])).toBe("");
  });

  it("let rules look at the claims that they list, and at no others", async () => {
    const rules = { rules: [{ name: "a", permissions: ["*"], targets: ["**"], when: "principal.claims.team == 'x'" }] };
    expect(await told([{ ...OKTA, claims: ["environment"] }], rules)).toMatch(
      /rules\[0\]\.when: principal\.claims .* has no team: there are environment/,
    );
  });
});

it("lets callers in whose tokens an issuer on the network signs, over its rotation and its outage", async () => {
  let keys: { kid: string; pair: { publicKey: KeyObject; privateKey: KeyObject } } = {
    kid: "one",
    pair: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  };
  let away = false;
  const server = createServer((request, response) => {
    if (away) return void request.socket.destroy();
    const base = `http://${request.headers.host}`;
    const jwk = { ...keys.pair.publicKey.export({ format: "jwk" }), kid: keys.kid };
    const answer = request.url?.endsWith("openid-configuration")
      ? { issuer: base, jwks_uri: `${base}/keys` }
      : { keys: [jwk] };
    response.setHeader("content-type", "application/json").end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await using _closed = { [Symbol.asyncDispose]: async () => void server.close() };
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const token = (kid = keys.kid): string => {
    const now = Math.floor(Date.now() / 1000);
    const payload = { iss: issuer, aud: ["restartd"], sub: "ann", groups: ["shop"], iat: now - 1, exp: now + 300 };
    const text = [{ alg: "ES256", kid }, payload]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const signature = sign("sha256", Buffer.from(text), { key: keys.pair.privateKey, dsaEncoding: "ieee-p1363" });
    return `${text}.${signature.toString("base64url")}`;
  };
  await using configured = await startConfigured({
    authentication: { issuers: [{ name: "okta", issuer, audiences: ["restartd"], groups: { claim: "groups" } }] },
    authorization: { rules: [{ name: "shop", groups: ["okta:shop"], permissions: ["*"], targets: ["**"] }] },
  });
  const transport = createConnectTransport({ baseUrl: configured.program.url, httpVersion: "1.1" });
  const access = createClient(AccessService, transport);
  const whoAmI = (bearer: string) => access.whoAmI({}, { headers: { authorization: `Bearer ${bearer}` } });
  const before = token();
  expect(await whoAmI(before)).toMatchObject({
    principal: "okta:ann",
    authenticator: "okta",
    username: "ann",
    groups: ["okta:shop"],
  });
  expect((await createClient(ServerService, transport).getServer({})).auth?.issuers).toMatchObject([
    { name: "okta", issuer },
  ]);
  away = true;
  expect(await whoAmI(before)).toMatchObject({ principal: "okta:ann" });
  const unknown = ConnectError.from(await whoAmI(token("two")).catch((error: unknown) => error));
  expect(unknown.findDetails(ErrorInfoSchema)[0]?.metadata).toMatchObject({
    why: "UNKNOWN_KEY",
    authenticator: "okta",
  });
  away = false;
  keys = { kid: "two", pair: generateKeyPairSync("ec", { namedCurve: "P-256" }) };
  // At once, but for the ten seconds in which made-up ids are not asked about.
  await expect
    .poll(
      () =>
        whoAmI(token()).then(
          () => "known",
          () => "unknown",
        ),
      { interval: 500 },
    )
    .toBe("known");
});
