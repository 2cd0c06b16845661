import { createClient } from "@connectrpc/connect";
import { InstanceSchema } from "../../../gen/restart/dcs/v1/instance_pb.ts";
import {
  RestartInstancesRequest_Action as Action,
  InstanceService,
} from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import { projectOf } from "../../clouds/huawei/command.ts";
import {
  CommandMistake,
  everyPage,
  idsOf,
  resourceName,
  type Session,
  type Subject,
  type TargetCommand,
  type Wanted,
} from "../../core/command.ts";

const clientOf = ({ transport }: Session) => createClient(InstanceService, transport);

const read = async (projectId: string, session: Session) => {
  const instances = await everyPage(
    (pageToken) => clientOf(session).listInstances({ projectId, pageToken }, session.reading),
    (page) => page.instances,
  );
  return instances.map((instance) => ({ id: instance.instanceId, name: instance.name, instance }));
};

type How = Pick<Wanted, "verb" | "manner">;

/** An instance. Each is a call of its own, so that what one is refused keeps no other from being restarted. */
function subjectOf(
  projectId: string,
  { id, name }: { id: string; name: string },
  { verb, manner }: How,
  session: Session,
): Subject {
  if (manner === "hard") throw new CommandMistake("--hard is for ddm alone");
  if (manner !== undefined && verb === "flush") throw new CommandMistake(`--${manner} is for restarts alone`);
  const soft = manner === "soft";
  return {
    target: resourceName("projects", projectId, "dcs", "instances", id),
    label: `dcs/${name || id}`,
    name: name || id,
    action: verb === "flush" ? "flush" : soft ? "soft_restart" : "restart",
    done: verb === "flush" ? "flushed" : soft ? "soft restarted" : "restarted",
    async send({ acknowledged, ...wish }, options) {
      const client = clientOf(session);
      const acknowledgeDataLoss = acknowledged.has("data-loss");
      const request = { projectId, instanceIds: [id], acknowledgeDataLoss, ...wish };
      const { results } =
        verb === "flush"
          ? await client.flushInstances(request, options)
          : await client.restartInstances({ ...request, action: soft ? Action.SOFT_RESTART : Action.RESTART }, options);
      const [result] = results;
      return { operation: result?.operation ?? "", error: result?.error };
    },
  };
}

/** DCS instances: `dcs/ID`, `projects/{project}/dcs/instances/{id}`. */
export const dcsCommand: TargetCommand = {
  service: InstanceService,
  types: ["dcs"],
  verbs: ["restart", "flush"],
  takes: (type) => type.toLowerCase() === "dcs",
  async find(wanted, session) {
    const projectId = await projectOf("dcs", session);
    const found = await idsOf("dcs", wanted.names, () => read(projectId, session));
    return found.map((each) => subjectOf(projectId, each, wanted, session));
  },
  named([projects, projectId, dcs, instances, id, ...more], how, session) {
    if (projects !== "projects" || dcs !== "dcs" || instances !== "instances" || !projectId || !id || more.length > 0) {
      return undefined;
    }
    return idsOf("dcs", [id], () => read(projectId, session)).then(([found]) =>
      subjectOf(projectId, found ?? { id, name: id }, how, session),
    );
  },
  lists: [
    {
      words: ["dcs"],
      async list({ names }, session) {
        const projectId = await projectOf("dcs", session);
        const listed = await read(projectId, session);
        const chosen = names.length === 0 ? listed.map(({ instance }) => instance) : await each();
        async function each() {
          const found = await idsOf("dcs", names, async () => listed);
          return Promise.all(
            found.map(({ id }) => clientOf(session).getInstance({ projectId, instanceId: id }, session.reading)),
          );
        }
        return {
          columns: ["ID", "NAME", "STATUS", "ENGINE"],
          wideColumns: ["VERSION", "MODE", "TASK"],
          rows: chosen.map((instance) => ({
            name: `dcs/${instance.instanceId}`,
            cells: [instance.instanceId, instance.name, instance.status, instance.engine],
            wide: [instance.engineVersion, instance.cacheMode, instance.task],
            schema: InstanceSchema,
            message: instance,
          })),
        };
      },
    },
  ],
};
