import { createRegistry } from "@bufbuild/protobuf";
import { createValidator } from "@bufbuild/protovalidate";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { file_restart_config_v1_config } from "../../../gen/restart/config/v1/config_pb.ts";
import { loadConfig } from "../../../src/config.ts";
import { ConfigError } from "../../../src/core/problem.ts";
import { withDependencies } from "../../../src/core/schema.ts";
import { type ArcgisSettings, readArcgis } from "../../../src/targets/arcgis/config.ts";
import { type Folder, temporaryFolder } from "../../support/folder.ts";

const validator = createValidator({ registry: createRegistry(...withDependencies([file_restart_config_v1_config])) });

let folder: Folder;
beforeEach(async () => {
  folder = await temporaryFolder();
  await folder.write("password", "hunter2\n");
});
afterEach(() => folder[Symbol.asyncDispose]());

const SITE = "name: gis, username: siteadmin, password: { file: password }";

async function load(section: string): Promise<ArcgisSettings> {
  const file = await folder.write("restartd.yaml", `arcgis:\n  ${section}\n`);
  return loadConfig(file, {
    validator,
    readSections: ({ arcgis }, reader) => readArcgis(arcgis, reader, { PASSWORD: "hunter3" }),
  }).targets;
}

/** The mistakes of a section, each with its field. */
async function mistakes(section: string): Promise<string[]> {
  const error = await load(section).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof ConfigError)) throw error ?? new Error("there is no mistake");
  return error.problems.map(({ field, message }) => `${field}: ${message.replaceAll(`${folder.path}/`, "")}`);
}

describe("readArcgis()", () => {
  it("derives what the section leaves out", async () => {
    const { sites, pollIntervalMs } = await load(
      `sites: [{ ${SITE}, admin_url: "https://gis.example.com/context/admin/" }]`,
    );
    expect(pollIntervalMs).toBe(5_000);
    expect(sites).toEqual([
      {
        name: "gis",
        adminUrl: "https://gis.example.com/context/admin",
        tokenUrl: "https://gis.example.com/context/sharing/rest/generateToken",
        referer: "https://gis.example.com/context",
        username: "siteadmin",
        password: expect.any(Function),
        ca: undefined,
      },
    ]);
  });

  it.each([
    ["https://gis.example.com/admin", "https://gis.example.com/sharing/rest/generateToken", "https://gis.example.com"],
    ["https://gis.example.com", "https://gis.example.com/sharing/rest/generateToken", "https://gis.example.com"],
    ["http://127.0.0.1:7/a/b/c", "http://127.0.0.1:7/a/b/sharing/rest/generateToken", "http://127.0.0.1:7/a/b"],
  ])("derives from %s where tokens are", async (adminUrl, tokenUrl, referer) => {
    const { sites } = await load(`sites: [{ ${SITE}, admin_url: "${adminUrl}" }]`);
    expect(sites).toMatchObject([{ adminUrl, tokenUrl, referer }]);
  });

  it("takes what the section says", async () => {
    const { sites, pollIntervalMs } = await load(
      `{ poll_interval: 1.5s, sites: [{ ${SITE}, admin_url: "https://a/b/admin", token_url: "https://c/token" }] }`,
    );
    expect(pollIntervalMs).toBe(1_500);
    expect(sites).toMatchObject([{ tokenUrl: "https://c/token", referer: "https://a/b" }]);
  });

  it("reads a password when it is asked for it", async () => {
    const both = `sites:
    - { ${SITE}, admin_url: "https://a/admin" }
    - { name: b, username: u, password: { env: PASSWORD }, admin_url: "https://b/admin" }`;
    const { sites } = await load(both);
    expect(sites.map(({ password }) => password())).toEqual(["hunter2", "hunter3"]);
    await folder.write("password", "hunter4");
    expect(sites[0]?.password()).toBe("hunter4");
  });

  it("has no sites without the section", () => {
    const none = () => expect.unreachable("nothing is there to report");
    const reader = {
      resolve: none,
      problem: none,
      warning: none,
      problemElsewhere: none,
      warningElsewhere: none,
      whereIs: none,
    };
    expect(readArcgis(undefined, reader)).toEqual({ pollIntervalMs: 5_000, sites: [] });
  });

  it("reports every mistake at once", async () => {
    await folder.write("ca.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    await folder.write("empty.pem", "nothing");
    expect(
      await mistakes(`sites:
    - { ${SITE}, admin_url: "https://a/admin", ca: missing.pem }
    - { ${SITE}, admin_url: "https://b/admin", ca: ca.pem }
    - { name: c, username: u, password: { env: MISSING }, admin_url: "https://c/admin", ca: empty.pem }
    - { name: d, username: u, password: { file: missing }, admin_url: "http://d.example.com/admin" }`),
    ).toEqual([
      'arcgis.sites[0].ca: must be a PEM file of certificate authorities, but "missing.pem" cannot be read: no such file or directory',
      'arcgis.sites[1].name: must be unique, but is "gis", the name of arcgis.sites[0] (line 3)',
      'arcgis.sites[1].ca: must be a PEM file of certificate authorities, but "ca.pem" has a certificate that cannot be read: number 1 of it',
      "arcgis.sites[2].password.env: must be an environment variable with the secret in it, but MISSING is not set; set it before the start",
      'arcgis.sites[2].ca: must be a PEM file of certificate authorities, but "empty.pem" has no certificate in it',
      'arcgis.sites[3].password.file: must be a file with the secret in it, but "missing" cannot be read: no such file or directory',
      expect.stringMatching(/^arcgis\.sites\[3\]\.admin_url: must be https:/),
    ]);
  });
});
