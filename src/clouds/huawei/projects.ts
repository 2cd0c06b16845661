import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { ProjectSchema } from "../../../gen/restart/huaweicloud/v1/project_pb.ts";
import { ListProjectsResponseSchema, ProjectService } from "../../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import { readPageToken, writePageToken } from "../../core/page-token.ts";
import { type Route, route } from "../../core/route.ts";
import type { ProjectSettings } from "./config.ts";

const DEFAULT_PAGE_SIZE = 100;

/** What a page token has to be about. */
const ASKED = ["projects"];

/** restart.huaweicloud.v1.ProjectService: what the section `huaweicloud` names. One of the targets that share it serves it. */
export function createProjectRoute(projects: readonly ProjectSettings[]): Route {
  const inOrder = projects.toSorted((one, other) => (one.projectId < other.projectId ? -1 : 1));
  const implementation: ServiceImpl<typeof ProjectService> = {
    listProjects({ pageSize, pageToken }) {
      const after = readPageToken(pageToken, ASKED, readId) ?? "";
      const rest = inOrder.filter(({ projectId }) => projectId > after);
      const page = rest.slice(0, pageSize || DEFAULT_PAGE_SIZE);
      const last = page.length < rest.length ? page.at(-1) : undefined;
      return create(ListProjectsResponseSchema, {
        projects: page.map(({ projectId, region, endpoints }) =>
          create(ProjectSchema, { projectId, name: projectId, region, services: Object.keys(endpoints).sort() }),
        ),
        nextPageToken: last === undefined ? "" : writePageToken(last.projectId, ASKED),
      });
    },
  };
  return route(ProjectService, implementation);
}

const readId = (place: unknown): string | undefined => (typeof place === "string" ? place : undefined);
