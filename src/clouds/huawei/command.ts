import { createClient } from "@connectrpc/connect";
import { ProjectSchema } from "../../../gen/restart/huaweicloud/v1/project_pb.ts";
import { ProjectService } from "../../../gen/restart/huaweicloud/v1/project_service_pb.ts";
import { everyPage, type ListWord, onlyOne, type Session } from "../../core/command.ts";

const readProjects = ({ transport, reading }: Session) =>
  everyPage(
    (pageToken) => createClient(ProjectService, transport).listProjects({ pageToken }, reading),
    ({ projects }) => projects,
  );

/**
 * The project that is meant: what the flag or the context says, else the only one with a service.
 *
 * @throws CommandMistake when there are several, or none
 */
export const projectOf = (service: "cse" | "dcs" | "ddm", session: Session): Promise<string> =>
  onlyOne("project", session.scope.project, async () => {
    const projects = await readProjects(session);
    return projects.filter(({ services }) => services.includes(service)).map(({ projectId }) => projectId);
  });

/** Projects of Huawei Cloud, whatever runs in them. */
export const projectsWord: ListWord = {
  words: ["projects", "project"],
  async list({ names }, session) {
    const projects = await readProjects(session);
    const chosen = projects.filter(({ projectId }) => names.length === 0 || names.includes(projectId));
    return {
      columns: ["ID", "NAME", "REGION", "SERVICES"],
      wideColumns: [],
      rows: chosen.map((project) => ({
        name: `projects/${project.projectId}`,
        cells: [project.projectId, project.name, project.region, project.services.join(",")],
        wide: [],
        schema: ProjectSchema,
        message: project,
      })),
    };
  },
};
