import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createRegistry } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../../gen/restart/config/v1/config_pb.ts";
import { type HuaweicloudSettings, type IamSettings, readHuaweicloud } from "../../../src/clouds/huawei/config.ts";
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
        - { project_id: p1, region: eu-west-0, credentials: ${KEY} }
        - { project_id: p2, region: eu-west-101, credentials: ${KEY} }
        - project_id: p3
          region: eu-de
          credentials: ${KEY}
          endpoints: { ddm: "https://ddm.eu-de.otc.t-systems.com/", cse: "http://127.0.0.1:8001/base/" }`);
    expect(settings.pollIntervalMs).toBe(10_000);
    expect(
      settings.projects.map(({ projectId, region, endpoints, ca }) => ({ projectId, region, endpoints, ca })),
    ).toEqual([
      {
        projectId: "p1",
        region: "eu-west-0",
        endpoints: {
          cse: "https://cse.eu-west-0.myhuaweicloud.com",
          dcs: "https://dcs.eu-west-0.myhuaweicloud.com",
          ddm: "https://ddm.eu-west-0.myhuaweicloud.com",
        },
        ca: undefined,
      },
      {
        projectId: "p2",
        region: "eu-west-101",
        endpoints: {
          cse: "https://cse.eu-west-101.myhuaweicloud.com",
          dcs: "https://dcs.eu-west-101.myhuaweicloud.com",
          ddm: "https://ddm.eu-west-101.myhuaweicloud.eu",
        },
        ca: undefined,
      },
      {
        projectId: "p3",
        region: "eu-de",
        endpoints: {
          cse: "http://127.0.0.1:8001/base",
          dcs: "https://dcs.eu-de.myhuaweicloud.com",
          ddm: "https://ddm.eu-de.otc.t-systems.com",
        },
        ca: undefined,
      },
    ]);
  });

  it("takes an interval of its own", () => {
    const settings = load(`
      poll_interval: 1.5s
      projects: [{ project_id: p, region: r, credentials: ${KEY} }]`);
    expect(settings.pollIntervalMs).toBe(1_500);
  });

  it("finds an access key, with and without a security token", () => {
    write("token", "from the file\n");
    const settings = load(`
      projects:
        - { project_id: p1, region: r, credentials: ${KEY} }
        - project_id: p2
          region: r
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
    const settings = load(`
      projects:
        - { project_id: p1, region: eu-west-101, credentials: { iam: { ${user} } } }
        - { project_id: p2, region: eu-west-101, credentials: { iam: { ${user}, endpoint: "https://iam.example.com/" } } }`);
    const users = settings.projects.flatMap(({ credentials }): IamSettings[] =>
      credentials.kind === "iam" ? [credentials] : [],
    );
    expect(users.map(({ endpoint, username, domain, password }) => [endpoint, username, domain, password()])).toEqual([
      ["https://iam.eu-west-101.myhuaweicloud.com", "u", "d", "hunter2"],
      ["https://iam.example.com", "u", "d", "hunter2"],
    ]);
  });

  it("reads the authorities of a project", () => {
    const { cert } = createAuthority("of this test");
    write("ca.pem", cert);
    const [project] = load(`projects: [{ project_id: p, region: r, credentials: ${KEY}, ca: ca.pem }]`).projects;
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
        - { project_id: p1, region: r, credentials: ${KEY} }
        - { project_id: p1, region: r, credentials: ${KEY}, ca: nowhere.pem }
        - { project_id: p2, region: r, credentials: ${KEY}, ca: ca.pem }
        - { project_id: p3, region: r, credentials: { access_key: { env: NOBODY }, secret_key: { env: EMPTY } } }
        - { project_id: p4, region: r, credentials: { iam: { username: u, domain: d, password: { file: empty } } } }
        - project_id: p5
          region: r
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
    ["nobody", "{}", "must have access_key and secret_key, or iam"],
    ["half a key", "{ access_key: { env: HW_AK } }", "must have access_key and secret_key together"],
    [
      "both",
      "{ access_key: { env: HW_AK }, secret_key: { env: HW_SK }, iam: { username: u, domain: d, password: { env: HW_SK } } }",
      "must be either access_key and secret_key, or iam, not both",
    ],
  ])("refuses credentials of %s", (_who, credentials, message) => {
    const found = mistakes(`projects: [{ project_id: p, region: r, credentials: ${credentials} }]`);
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
