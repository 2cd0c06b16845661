import { RestartInstanceRequest_Type as Type } from "../../../../gen/restart/ddm/v1/instance_service_pb.ts";
import type { Intent } from "../../api/intention.ts";
import { count, W, WHAT } from "../../words.ts";
import { instances } from "./client.ts";

/** An instance to restart. */
export interface InstanceRef {
  readonly projectId: string;
  readonly instanceId: string;
  /** What people call it; its id while that is not known. */
  readonly name: string;
  /** How many nodes it has; undefined while that is not known. */
  readonly nodes?: number;
}

/** A restart of an instance. */
export function restartIntent({ projectId, instanceId, name, nodes }: InstanceRef, hard: boolean): Intent {
  const verb = hard ? "Hard restart" : "Soft restart";
  return {
    verb,
    doing: "Restarting…",
    subject: name,
    title: `${verb} DDM instance ${name}`,
    what: hard ? WHAT.ddmHard : WHAT.ddmSoft,
    scope: nodes === undefined ? [] : [count(nodes, "node")],
    checked: W.check.other,
    async send({ acknowledged: _, ...ask }, options) {
      const type = hard ? Type.HARD : Type.SOFT;
      const request = { projectId, instanceId, type, ...ask };
      await instances.restartInstance(request, options);
      return {};
    },
  };
}
