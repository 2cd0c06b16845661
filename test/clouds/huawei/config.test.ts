import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createRegistry } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../../gen/restart/config/v1/config_pb.ts";
import { type HuaweicloudSettings, type IamSettings, readHuaweicloud } from "../../../src/clouds/huawei/config.ts";
import { readKeyFile } from "../../../src/clouds/huawei/key-file.ts";
import { loadConfig } from "../../../src/config.ts";
import { ConfigError, formatProblem } from "../../../src/core/problem.ts";
import { withDependencies } from "../../../src/core/schema.ts";
import { createAuthority } from "../../cluster/certificates.ts";

const validator = createValidator({ registry: createRegistry(...withDependencies([file_restart_config_v1_config])) });
const ENVIRONMENT = { HW_AK: "the-access-key", HW_SK: "the-secret-key", HW_TOKEN: "the-token", EMPTY: "" };
const KEY = "{ access_key: { env: HW_AK }, secret_key: { env: HW_SK } }";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "restartd-huawei-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("readHuaweicloud()", () => {
  it("knows where services are, and how often to look", () => {
    const settings = load(`
      projects:
        - { project_id: p1, region: cn-north-4, credentials: ${KEY} }
        - project_id: p2
          region: eu-west-101
          credentials: ${KEY}
          endpoints: { cse: "https://cse.example.com", dcs: "https://dcs.example.com" }
        - project_id: p3
          region: eu-de
          credentials: ${KEY}
          endpoints: { ddm: "https://ddm.eu-de.otc.t-systems.com/", cse: "http://127.0.0.1:8001/base/", dcs: "http://127.0.0.1:8002" }`);
    expect(settings.pollIntervalMs).toBe(10_000);
    expect(settings.projects.map(({ projectId, endpoints, ca }) => ({ projectId, endpoints, ca }))).toEqual([
      {
        projectId: "p1",
        endpoints: {
          cse: "https://cse.cn-north-4.myhuaweicloud.com",
          dcs: "https://dcs.cn-north-4.myhuaweicloud.com",
          ddm: "https://ddm.cn-north-4.myhuaweicloud.com",
        },
        ca: undefined,
      },
      {
        projectId: "p2",
        endpoints: {
          cse: "https://cse.example.com",
          dcs: "https://dcs.example.com",
          ddm: "https://ddm.eu-west-101.myhuaweicloud.eu",
        },
        ca: undefined,
      },
      {
        projectId: "p3",
        endpoints: {
          cse: "http://127.0.0.1:8001/base",
          dcs: "http://127.0.0.1:8002",
          ddm: "https://ddm.eu-de.otc.t-systems.com",
        },
        ca: undefined,
      },
    ]);
  });

  it.each([
    ["eu-west-101", ["cse", "dcs"]],
    ["eu-west-102", ["cse", "dcs"]],
    ["ap-southeast-2", ["ddm"]],
    ["eu-de", ["cse", "dcs", "ddm"]],
    ["ru-moscow-1", ["cse", "dcs", "ddm"]],
    ["eu-west-0", ["cse", "dcs", "ddm"]],
    ["cn-north-40", ["cse", "dcs", "ddm"]],
    ["eu-west-1-x", ["cse", "dcs", "ddm"]],
  ])("guesses no address in %s", (region, unknown) => {
    const found = mistakes(`
      projects:
        - project_id: p
          region: ${region}
          credentials: ${KEY}`);
    expect(found).toEqual(
      unknown.map((service) =>
        expect.stringMatching(
          `^restartd.yaml:3:\\d+: huaweicloud.projects\\[0\\].endpoints.${service}: must be the address of .* in region ${region},`,
        ),
      ),
    );
  });

  it("guesses no address of IAM", () => {
    const iam = "{ iam: { username: u, domain: d, password: { env: HW_SK } } }";
    const all = "{ cse: https://c.example.com, dcs: https://d.example.com, ddm: https://m.example.com }";
    const found = mistakes(`
      projects:
        - { project_id: p, region: ap-southeast-5, credentials: ${iam}, endpoints: ${all} }`);
    expect(found).toEqual([
      expect.stringMatching(
        /huaweicloud.projects\[0\].credentials.iam.endpoint: must be the address of IAM in region ap/,
      ),
    ]);
  });

  it("reads the parts of a key out of one file, as one", () => {
    const securitytoken = "the-token";
    write("hw.json", JSON.stringify({ credential: { access: "AK1", secret: "SK1", securitytoken, expires_at: "x" } }));
    const [project] = load(
      `projects: [{ project_id: p, region: cn-north-4, credentials: { file: hw.json } }]`,
    ).projects;
    if (project?.credentials.kind !== "key file") throw new Error("no key file");
    const { file } = project.credentials;
    expect(readKeyFile(file)).toEqual({ accessKey: "AK1", secretKey: "SK1", securityToken: "the-token" });
    write("hw.json", `\ufeff${JSON.stringify({ access: "AK2", secret: "SK2" })}\r\n`);
    expect(readKeyFile(file)).toEqual({ accessKey: "AK2", secretKey: "SK2", securityToken: undefined });
  });

  it.each([
    ["no JSON", "AK1:SK1", "is no JSON object"],
    ["no secret", '{"access": "AK1"}', "has no text secret in it"],
    ["no access", '{"secret": "SK1"}', "has no text access in it"],
    [
      "a token that is no text",
      '{"access": "AK1", "secret": "SK1", "securitytoken": 1}',
      "a securitytoken that is no text",
    ],
  ])("refuses a key file with %s, and shows nothing of it", (_what, content, message) => {
    write("hw.json", content);
    const found = mistakes(`projects: [{ project_id: p, region: cn-north-4, credentials: { file: hw.json } }]`);
    expect(found).toEqual([
      expect.stringMatching(/^restartd.yaml:2:\d+: huaweicloud.projects\[0\].credentials.file: must be a JSON file/),
    ]);
    expect(found[0]).toContain(message);
    expect(found[0]).not.toMatch(/AK1|SK1/);
  });

  it("writes ids that have the form of a UUID in lower case, and takes no project twice by letter case", () => {
    const id = "7D2A6D4F0B1C4F0E9A3B5C6D7E8F9A0B";
    const one = (projectId: string) => `{ project_id: ${projectId}, region: cn-north-4, credentials: ${KEY} }`;
    expect(load(`projects: [${one(id)}, ${one("NoUuid")}]`).projects.map(({ projectId }) => projectId)).toEqual([
      id.toLowerCase(),
      "NoUuid",
    ]);
    expect(mistakes(`projects: [${one(id)}, ${one(id.toLowerCase())}]`)).toEqual([
      expect.stringContaining("project_id: must be unique"),
    ]);
  });

  it("takes an interval of its own", () => {
    const settings = load(`
      poll_interval: 1.5s
      projects: [{ project_id: p, region: cn-north-4, credentials: ${KEY} }]`);
    expect(settings.pollIntervalMs).toBe(1_500);
  });

  it("finds an access key, with and without a security token", () => {
    write("token", "from the file\n");
    const settings = load(`
      projects:
        - { project_id: p1, region: cn-north-4, credentials: ${KEY} }
        - project_id: p2
          region: cn-north-4
          credentials: { access_key: { env: HW_AK }, secret_key: { env: HW_SK }, security_token: { file: token } }`);
    const [permanent, temporary] = settings.projects.map(({ credentials }) => credentials);
    if (permanent?.kind !== "key" || temporary?.kind !== "key") throw new Error("no keys");
    expect([permanent.accessKey(), permanent.secretKey(), permanent.securityToken]).toEqual([
      "the-access-key",
      "the-secret-key",
      undefined,
    ]);
    expect(temporary.securityToken?.()).toBe("from the file");
    write("token", "another one");
    expect(temporary.securityToken?.()).toBe("another one");
  });

  it("finds an IAM user, and where IAM is", () => {
    write("password", "hunter2");
    const user = "username: u, domain: d, password: { file: password }";
    const there = "{ cse: https://cse.example.com, dcs: https://dcs.example.com }";
    const settings = load(`
      projects:
        - { project_id: p1, region: eu-west-101, credentials: { iam: { ${user} } }, endpoints: ${there} }
        - { project_id: p2, region: cn-north-4, credentials: { iam: { ${user}, endpoint: "https://iam.example.com/" } } }`);
    const users = settings.projects.flatMap(({ credentials }): IamSettings[] =>
      credentials.kind === "iam" ? [credentials] : [],
    );
    expect(users.map(({ endpoint, username, domain, password }) => [endpoint, username, domain, password()])).toEqual([
      ["https://iam.eu-west-101.myhuaweicloud.eu", "u", "d", "hunter2"],
      ["https://iam.example.com", "u", "d", "hunter2"],
    ]);
  });

  it("reads the authorities of a project", () => {
    const { cert } = createAuthority("of this test");
    write("ca.pem", cert);
    const [project] = load(
      `projects: [{ project_id: p, region: cn-north-4, credentials: ${KEY}, ca: ca.pem }]`,
    ).projects;
    expect(project?.ca).toBe(cert);
  });

  it("knows no project without a section", () => {
    const reader = { whereIs: () => "", resolve: String, ...never() };
    expect(readHuaweicloud(undefined, reader, {})).toEqual({ pollIntervalMs: 10_000, projects: [] });
  });

  it("says everything that is wrong at once, and no secret", () => {
    write("empty", " \n");
    write("ca.pem", "no certificate");
    const found = mistakes(`
      projects:
        - { project_id: p1, region: cn-north-4, credentials: ${KEY} }
        - { project_id: p1, region: cn-north-4, credentials: ${KEY}, ca: nowhere.pem }
        - { project_id: p2, region: cn-north-4, credentials: ${KEY}, ca: ca.pem }
        - { project_id: p3, region: cn-north-4, credentials: { access_key: { env: NOBODY }, secret_key: { env: EMPTY } } }
        - { project_id: p4, region: cn-north-4, credentials: { iam: { username: u, domain: d, password: { file: empty } } } }
        - project_id: p5
          region: cn-north-4
          credentials: { access_key: { env: HW_AK }, secret_key: { env: HW_SK }, security_token: { file: nowhere } }`);
    expect(found).toEqual([
      'restartd.yaml:4:25: huaweicloud.projects[1].project_id: must be unique, but is "p1", the project_id of huaweicloud.projects[0] (line 3)',
      expect.stringMatching(/^restartd.yaml:4:\d+: huaweicloud.projects\[1\].ca: .* "nowhere.pem" cannot be read: /),
      expect.stringMatching(
        /^restartd.yaml:5:\d+: huaweicloud.projects\[2\].ca: .* "ca.pem" has no certificate in it$/,
      ),
      expect.stringMatching(/: huaweicloud.projects\[3\].credentials.access_key.env: .* NOBODY is not set/),
      expect.stringMatching(/: huaweicloud.projects\[3\].credentials.secret_key.env: .* EMPTY is empty/),
      expect.stringMatching(/: huaweicloud.projects\[4\].credentials.iam.password.file: .* "empty" is empty$/),
      expect.stringMatching(/: huaweicloud.projects\[5\].credentials.security_token.file: .* "nowhere" cannot be read/),
    ]);
    expect(found.join("\n")).not.toMatch(/the-access-key|the-secret-key/);
  });

  it.each([
    ["nobody", "{}", "must have access_key and secret_key, file, or iam"],
    ["half a key", "{ access_key: { env: HW_AK } }", "must have access_key and secret_key together"],
    [
      "a file and a key",
      "{ file: hw.json, access_key: { env: HW_AK } }",
      "must be one of access_key and secret_key, file, or iam, not several",
    ],
    [
      "both",
      "{ access_key: { env: HW_AK }, secret_key: { env: HW_SK }, iam: { username: u, domain: d, password: { env: HW_SK } } }",
      "must be one of access_key and secret_key, file, or iam, not several",
    ],
  ])("refuses credentials of %s", (_who, credentials, message) => {
    write("hw.json", JSON.stringify({ access: "AK1", secret: "SK1" }));
    const found = mistakes(`projects: [{ project_id: p, region: cn-north-4, credentials: ${credentials} }]`);
    expect(found).toEqual([expect.stringContaining(message)]);
  });
});

function load(section: string): HuaweicloudSettings {
  const file = write("restartd.yaml", `huaweicloud:${section.startsWith("\n") ? section : `\n      ${section}`}`);
  return loadConfig(file, {
    validator,
    readSections: ({ huaweicloud }, reader) => readHuaweicloud(huaweicloud, reader, ENVIRONMENT),
  }).targets;
}

/** The mistakes of a section, the folder left out. */
function mistakes(section: string): string[] {
  try {
    load(section);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem).map((text) => text.replaceAll(`${folder}/`, ""));
  }
  throw new Error("no mistake was found");
}

/** A reader to whom nothing is reported. */
function never() {
  const fail = () => {
    throw new Error("nothing was to be reported");
  };
  return { problem: fail, warning: fail, problemElsewhere: fail, warningElsewhere: fail };
}

function write(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}
