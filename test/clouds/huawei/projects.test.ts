import { createClient, createRouterTransport } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ProjectService } from "../../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import type { ProjectSettings } from "../../../src/clouds/huawei/config.ts";
import { createProjectRoute } from "../../../src/clouds/huawei/projects.ts";

const project = (projectId: string): ProjectSettings => ({
  projectId,
  region: "eu-west-101",
  credentials: { kind: "key", accessKey: () => "a", secretKey: () => "s", securityToken: undefined },
  endpoints: { dcs: "https://d", cse: "https://c", ddm: "https://m" },
  ca: undefined,
});

const { register } = createProjectRoute([project("b"), project("a"), project("c")]);
const client = createClient(
  ProjectService,
  createRouterTransport((router) => register(router, { reads: {}, mutations: {} })),
);

describe("createProjectRoute()", () => {
  it("lists projects by id, page by page", async () => {
    const first = await client.listProjects({ pageSize: 2 });
    expect(first.projects.map(({ projectId, region, services }) => [projectId, region, services])).toEqual([
      ["a", "eu-west-101", ["cse", "dcs", "ddm"]],
      ["b", "eu-west-101", ["cse", "dcs", "ddm"]],
    ]);
    const second = await client.listProjects({ pageSize: 2, pageToken: first.nextPageToken });
    expect(second.projects.map(({ projectId }) => projectId)).toEqual(["c"]);
    expect(second.nextPageToken).toBe("");
  });
});
