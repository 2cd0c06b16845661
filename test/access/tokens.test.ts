import { createRegistry } from "@bufbuild/protobuf";
import { afterEach, describe, expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { createTokenVerifier, hashOf, readTokenFile } from "../../src/access/tokens.ts";
import { Failure } from "../../src/core/errors.ts";
import { formatProblem } from "../../src/core/problem.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";

const validator = newValidator(createRegistry(...withDependencies([file_restart_config_v1_config])));

const NOON = new Date("2026-01-31T12:00:00Z");

const HASH = hashOf("rsd_one");
const OTHER = hashOf("rsd_other");
const EMPTY = hashOf("");

let folder: Folder | undefined;

afterEach(async () => folder?.[Symbol.asyncDispose]());

async function read(text: string) {
  folder = await temporaryFolder();
  const path = await folder.write("tokens.yaml", text);
  const { value: tokens, problems, warnings } = readTokenFile({ path, file: "tokens.yaml" }, validator, NOON);
  return { tokens, problems: problems.map(formatProblem), warnings: warnings.map(formatProblem) };
}

describe("readTokenFile()", () => {
  it("reads names, groups and ends", async () => {
    const { tokens, problems } = await read(
      `- { name: nightly, sha256: ${HASH.toUpperCase()}, groups: [ci], expires: 2027-01-01T00:00:00Z, comment: by hand }\n- { name: ann, sha256: ${OTHER} }\n`,
    );
    expect(problems).toEqual([]);
    expect(tokens.get(HASH)).toEqual({
      id: "token:nightly",
      authenticator: "token",
      username: "nightly",
      groups: ["token:ci"],
      claims: {},
      credential: `token nightly ${HASH.slice(0, 8)}`,
      expireTime: Date.UTC(2027, 0, 1),
    });
    expect(tokens.get(OTHER)?.expireTime).toBeUndefined();
  });

  it("takes two tokens of one name for one principal, so that request ids outlive a rotation", async () => {
    const { tokens, problems } = await read(
      `- { name: ci, sha256: ${HASH}, groups: [a, b] }\n- { name: ci, sha256: ${OTHER}, groups: [b, a] }`,
    );
    expect(problems).toEqual([]);
    expect([...tokens.values()].map(({ id }) => id)).toEqual(["token:ci", "token:ci"]);
  });

  it("is empty for an empty file", async () => {
    expect(await read("")).toEqual({ tokens: new Map(), problems: [], warnings: [] });
  });

  it("warns of one that has expired", async () => {
    const { problems, warnings } = await read(`- { name: old, sha256: ${HASH}, expires: 2026-01-31T12:00:00Z }`);
    expect(problems).toEqual([]);
    expect(warnings).toEqual(["tokens.yaml:1:99: [0].expires: the token of old has expired: remove it"]);
  });

  it.each([
    ["no list", "name: a", /1:1: must be a list, but is a section/],
    ["a token that is none", "- hunter2", /1:3: \[0\]: must be a section with the keys name, .*but is a single value$/],
    ["no name", `- { sha256: ${HASH} }`, /1:3: \[0\]\.name: must be set/],
    ["a name of blanks", `- { name: " a", sha256: ${HASH} }`, /\[0\]\.name: .*one has a blank at an end/],
    ["a name too long", `- { name: ${"a".repeat(507)}, sha256: ${HASH} }`, /one has more than 506 characters/],
    ["a control character", `- { name: "a\\u0007", sha256: ${HASH} }`, /one has a control character/],
    ["no hash", "- { name: a }", /1:3: \[0\]\.sha256: must be a SHA-256 in hexadecimal, 64 digits, but is not shown/],
    ["the token itself", "- { name: a, sha256: rsd_secret }", /\[0\]\.sha256: must be a SHA-256 .*but is not shown$/],
    ["the hash of nothing", `- { name: a, sha256: ${EMPTY} }`, /\[0\]\.sha256: must not be the hash of the empty text/],
    [
      "a hash twice, be it in another case",
      `- { name: a, sha256: ${HASH} }\n- { name: b, sha256: ${HASH.toUpperCase()} }`,
      /2:22: \[1\]\.sha256: must be unique, but is that of \[0\]/,
    ],
    [
      "a name twice with other groups",
      `- { name: a, sha256: ${HASH}, groups: [x] }\n- { name: a, sha256: ${OTHER} }`,
      /\[1\]\.groups: must be the same as those of \[0\], which has the same name/,
    ],
    ["an empty group", `- { name: a, sha256: ${HASH}, groups: [""] }`, /\[0\]\.groups: .*one is empty/],
    [
      "a group too long",
      `- { name: a, sha256: ${HASH}, groups: [${"a".repeat(251)}] }`,
      /\[0\]\.groups: .*one has more than 250 characters/,
    ],
    [
      "201 groups",
      `- { name: a, sha256: ${HASH}, groups: [${Array.from({ length: 201 }, (_, at) => `g${at}`)}] }`,
      /\[0\]\.groups: .*there are more than 200/,
    ],
    ["no time", `- { name: a, sha256: ${HASH}, expires: soon }`, /\[0\]\.expires: must be a time of RFC 3339/],
    [
      "an unknown key",
      `- { name: a, sha256: ${HASH}, group: [x] }`,
      /group: is not a known key; did you mean groups\?/,
    ],
  ])("refuses %s, and shows no secret", async (_, text, message) => {
    const { problems } = await read(text);
    expect(problems.join("\n")).toMatch(message);
    expect(problems.join("\n")).not.toMatch(/hunter2|secret/);
  });

  it("says why a file cannot be read", () => {
    const { problems } = readTokenFile({ path: "/no/such", file: "no/such" }, validator, NOON);
    expect(problems.map(formatProblem)).toEqual(["no/such: cannot be read: no such file or directory"]);
  });
});

describe("createTokenVerifier()", () => {
  const principal = (text: string) => read(text).then(({ tokens }) => tokens);

  const whyOf = (verify: () => unknown): unknown => {
    try {
      return verify();
    } catch (error) {
      if (error instanceof Failure) return error.metadata.why;
      throw error;
    }
  };

  it("knows a token until it ends, and what began with it ends with it", async () => {
    const tokens = await principal(`- { name: a, sha256: ${HASH}, expires: 2026-01-31T12:00:01Z }`);
    let now = NOON.getTime();
    const verify = createTokenVerifier(
      () => tokens,
      () => new Date(now),
    );
    const { principal: found, lapsed } = verify("rsd_one");
    expect(found.id).toBe("token:a");
    now += 999;
    expect(lapsed()).toBeUndefined();
    now += 1;
    expect(lapsed()?.metadata).toEqual({ why: "EXPIRED", authenticator: "token" });
    expect(whyOf(() => verify("rsd_one"))).toBe("EXPIRED");
  });

  it("forgets a token that was taken away", async () => {
    let tokens = await principal(`- { name: a, sha256: ${HASH} }`);
    const verify = createTokenVerifier(
      () => tokens,
      () => NOON,
    );
    const { lapsed } = verify("rsd_one");
    tokens = new Map();
    expect(lapsed()?.metadata.why).toBe("EXPIRED");
    expect(whyOf(() => verify("rsd_one"))).toBe("UNKNOWN_TOKEN");
  });

  it.each(["rsd_", "rsd_one ", "rsd_On", "RSD_one", HASH, `rsd_${HASH}`])("does not know %j", async (token) => {
    const tokens = await principal(`- { name: a, sha256: ${HASH} }`);
    const verify = createTokenVerifier(
      () => tokens,
      () => NOON,
    );
    expect(whyOf(() => verify(token))).toBe("UNKNOWN_TOKEN");
  });
});
