import { RestartInstancesRequest_Action as Action } from "../../../../gen/restart/dcs/v1/instance_service_pb.ts";
import type { Intent } from "../../api/intention.ts";
import { count, W, WHAT } from "../../words.ts";
import { instances } from "./client.ts";

/** What can be done to instances. */
export type DcsAction = "restart" | "soft_restart" | "flush";

/** Instances that are chosen. */
export interface Chosen {
  readonly projectId: string;
  /** At least one, at most 50. */
  readonly instances: readonly { readonly id: string; readonly name: string }[];
}

const VERBS: Readonly<Record<DcsAction, readonly [verb: string, doing: string, what: string]>> = {
  restart: ["Restart", "Restarting…", WHAT.dcsRestart],
  soft_restart: ["Soft restart", "Restarting…", WHAT.dcsSoft],
  flush: ["Flush", "Flushing…", WHAT.dcsFlush],
};

/** An action on one instance or several, in one call. */
export function instancesIntent({ projectId, instances: chosen }: Chosen, action: DcsAction): Intent {
  const [verb, doing, what] = VERBS[action];
  const [only] = chosen.length === 1 ? chosen : [];
  const subject = only?.name ?? count(chosen.length, "instance");
  const instanceIds = chosen.map(({ id }) => id);
  return {
    verb,
    doing,
    subject,
    title: only ? `${verb} DCS instance ${only.name}` : `${verb} ${count(chosen.length, "DCS instance")}`,
    what,
    scope: chosen.map(({ name }) => name),
    checked: W.check.other,
    acknowledgement: {
      kind: "data_loss",
      always: action === "flush",
      word: only?.name ?? String(chosen.length),
      label: only ? W.typeToGoOn(only.name) : W.typeNumber(chosen.length),
    },
    send({ acknowledged, ...ask }, options) {
      const request = { projectId, instanceIds, acknowledgeDataLoss: acknowledged, ...ask };
      if (action === "flush") return instances.flushInstances(request, options);
      const how = action === "restart" ? Action.RESTART : Action.SOFT_RESTART;
      return instances.restartInstances({ ...request, action: how }, options);
    },
  };
}
