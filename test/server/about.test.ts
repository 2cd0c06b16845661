import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { ProjectService } from "../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import { Auth_Kind, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { VERSION } from "../../src/core/version.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";
import { type Program, startProgram } from "../support/program.ts";

let sandbox: Program;
beforeAll(async () => {
  sandbox = await startProgram();
});
afterAll(() => sandbox[Symbol.asyncDispose]());

const transportTo = (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1", useHttpGet: true });

describe("ServerService.GetServer", () => {
  it("tells that the sandbox is one, and what it has", async () => {
    expect(await createClient(ServerService, transportTo(sandbox.url)).getServer({})).toMatchObject({
      version: VERSION,
      sandbox: true,
      principal: "anonymous",
      requireReason: false,
      systems: ["kubernetes", "arcgis", "huaweicloud"],
      contact: "",
      auth: { kind: Auth_Kind.NONE, issuers: [] },
    });
  });

  it("tells what a configuration names", async () => {
    await using configured = await startConfigured();
    const client = createClient(ServerService, transportTo(configured.program.url));
    expect(await client.getServer({})).toMatchObject({ sandbox: false, systems: ["kubernetes"] });
  });

  it("tells whom to ask for rights, but no stranger", async () => {
    await using folder = await temporaryFolder();
    const file = await folder.write("tokens.yaml", stringify([{ name: "ann", sha256: hashOf("rsd_ann") }]));
    const rules = [{ name: "ann", permissions: ["kubernetes.*"], targets: ["**"] }];
    await using configured = await startConfigured({
      authentication: { tokens: { file } },
      authorization: { rules, contact: "ask #platform" },
    });
    const client = createClient(ServerService, transportTo(configured.program.url));
    const headers = { authorization: "Bearer rsd_ann" };
    expect(await client.getServer({}, { headers })).toMatchObject({ principal: "token:ann", contact: "ask #platform" });
    expect(await client.getServer({})).toMatchObject({ principal: "", contact: "", auth: { kind: Auth_Kind.BEARER } });
  });
});

describe("ProjectService.ListProjects", () => {
  it("lists the sandbox's project", async () => {
    expect(await createClient(ProjectService, transportTo(sandbox.url)).listProjects({})).toMatchObject({
      projects: [
        {
          projectId: "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d",
          name: "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d",
          services: ["cse", "dcs", "ddm"],
        },
      ],
      nextPageToken: "",
    });
  });
});
