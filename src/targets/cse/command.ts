import { createClient } from "@connectrpc/connect";
import { EngineSchema } from "../../../gen/restart/cse/v1/engine_pb.ts";
import { EngineService } from "../../../gen/restart/cse/v1/engine_service_pb.ts";
import { projectOf } from "../../clouds/huawei/command.ts";
import { everyPage, idsOf, resourceName, type Session, type Subject, type TargetCommand } from "../../core/command.ts";

const clientOf = ({ transport }: Session) => createClient(EngineService, transport);

const enterpriseOf = ({ scope }: Session) => ({ enterpriseProjectId: scope.enterpriseProject ?? "" });

const readEngines = (projectId: string, session: Session) =>
  everyPage(
    (pageToken) => clientOf(session).listEngines({ projectId, pageToken, ...enterpriseOf(session) }, session.reading),
    ({ engines }) => engines,
  );

const subjectOf = (projectId: string, { id, name }: { id: string; name: string }, session: Session): Subject => ({
  target: resourceName("projects", projectId, "cse", "engines", id),
  label: `cse/${name || id}`,
  name: name || id,
  action: "retry",
  done: "retried",
  async send({ acknowledged, ...wish }, options) {
    const acknowledgeDeletion = acknowledged.has("deletion");
    const request = { projectId, engineId: id, ...enterpriseOf(session), acknowledgeDeletion };
    const answer = await clientOf(session).retryEngine({ ...request, ...wish }, options);
    return answer.jobId > 0n ? { note: `(job ${answer.jobId})` } : {};
  },
});

/** CSE engines: `cse/ID`, `projects/{project}/cse/engines/{id}`. */
export const cseCommand: TargetCommand = {
  service: EngineService,
  types: ["cse"],
  verbs: ["retry"],
  takes: (type) => type.toLowerCase() === "cse",
  async find({ names }, session) {
    const projectId = await projectOf("cse", session);
    const found = await idsOf("cse", names, () => readEngines(projectId, session));
    return found.map((each) => subjectOf(projectId, each, session));
  },
  named([projects, projectId, cse, engines, id, ...more], _, session) {
    if (projects !== "projects" || cse !== "cse" || engines !== "engines" || !projectId || !id || more.length > 0) {
      return undefined;
    }
    return idsOf("cse", [id], () => readEngines(projectId, session)).then(([found]) =>
      subjectOf(projectId, found ?? { id, name: id }, session),
    );
  },
  lists: [
    {
      words: ["cse"],
      async list({ names }, session) {
        const projectId = await projectOf("cse", session);
        const listed = await readEngines(projectId, session);
        const chosen = names.length === 0 ? listed : await each();
        async function each() {
          const found = await idsOf("cse", names, async () => listed);
          const request = { projectId, ...enterpriseOf(session) };
          return Promise.all(
            found.map(({ id }) => clientOf(session).getEngine({ ...request, engineId: id }, session.reading)),
          );
        }
        return {
          columns: ["ID", "NAME", "STATUS", "TYPE"],
          wideColumns: ["VERSION", "LATEST JOB"],
          rows: chosen.map((engine) => ({
            name: `cse/${engine.id}`,
            cells: [engine.id, engine.name, engine.status, engine.type],
            wide: [engine.version, engine.latestJobId > 0n ? String(engine.latestJobId) : ""],
            schema: EngineSchema,
            message: engine,
          })),
        };
      },
    },
  ],
};
