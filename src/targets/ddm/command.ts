import { createClient } from "@connectrpc/connect";
import { InstanceSchema } from "../../../gen/restart/ddm/v1/instance_pb.ts";
import {
  InstanceService,
  RestartInstanceRequest_Type as Type,
} from "../../../gen/restart/ddm/v1/instance_service_pb.ts";
import { projectOf } from "../../clouds/huawei/command.ts";
import {
  everyPage,
  idsOf,
  type Manner,
  resourceName,
  type Session,
  type Subject,
  type TargetCommand,
} from "../../core/command.ts";

const clientOf = ({ transport }: Session) => createClient(InstanceService, transport);

const read = async (projectId: string, session: Session) => {
  const instances = await everyPage(
    (pageToken) => clientOf(session).listInstances({ projectId, pageToken }, session.reading),
    (page) => page.instances,
  );
  return instances.map((instance) => ({ id: instance.instanceId, name: instance.name, instance }));
};

/** An instance. Soft is what the vendor, too, does when nobody says. */
const subjectOf = (
  projectId: string,
  { id, name }: { id: string; name: string },
  manner: Manner,
  session: Session,
): Subject => ({
  target: resourceName("projects", projectId, "ddm", "instances", id),
  label: `ddm/${name || id}`,
  name: name || id,
  action: manner === "hard" ? "hard_restart" : "soft_restart",
  done: manner === "hard" ? "hard restarted" : "soft restarted",
  async send({ acknowledged: _, ...wish }, options) {
    const type = manner === "hard" ? Type.HARD : Type.SOFT;
    await clientOf(session).restartInstance({ projectId, instanceId: id, type, ...wish }, options);
    return {};
  },
});

/** DDM instances: `ddm/ID`, `projects/{project}/ddm/instances/{id}`. */
export const ddmCommand: TargetCommand = {
  service: InstanceService,
  types: ["ddm"],
  verbs: ["restart"],
  takes: (type) => type.toLowerCase() === "ddm",
  async find({ names, manner }, session) {
    const projectId = await projectOf("ddm", session);
    const found = await idsOf("ddm", names, () => read(projectId, session));
    return found.map((each) => subjectOf(projectId, each, manner, session));
  },
  named([projects, projectId, ddm, instances, id, ...more], { manner }, session) {
    if (projects !== "projects" || ddm !== "ddm" || instances !== "instances" || !projectId || !id || more.length > 0) {
      return undefined;
    }
    return idsOf("ddm", [id], () => read(projectId, session)).then(([found]) =>
      subjectOf(projectId, found ?? { id, name: id }, manner, session),
    );
  },
  lists: [
    {
      words: ["ddm"],
      async list({ names }, session) {
        const projectId = await projectOf("ddm", session);
        const listed = await read(projectId, session);
        const chosen = names.length === 0 ? listed.map(({ instance }) => instance) : await each();
        async function each() {
          const found = await idsOf("ddm", names, async () => listed);
          return Promise.all(
            found.map(({ id }) => clientOf(session).getInstance({ projectId, instanceId: id }, session.reading)),
          );
        }
        return {
          columns: ["ID", "NAME", "STATUS", "NODES"],
          wideColumns: ["VERSION"],
          rows: chosen.map((instance) => ({
            name: `ddm/${instance.instanceId}`,
            cells: [instance.instanceId, instance.name, instance.status, String(instance.nodeCount)],
            wide: [instance.engineVersion],
            schema: InstanceSchema,
            message: instance,
          })),
        };
      },
    },
  ],
};
