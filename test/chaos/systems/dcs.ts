import { startSimulator } from "../../../src/targets/dcs/simulator.ts";
import type { Ask, StartSystem } from "../system.ts";
import { miscountOf, openCloud } from "./cloud.ts";
import { ENV, PROJECT_ID, REPLIES, withService } from "./huawei.ts";

const PREFIX = `projects/${PROJECT_ID}/dcs/instances/`;
const PACE = { restartMs: 300, flushMs: 300, taskMs: 100 };
const SHARED = 6;
/** Every so manieth call is about three instances. */
const BATCH_EVERY = 4;
const PARTS = 3;

/** Instances: nothing but their status shows a restart, and that for a moment only. */
export const startDcs: StartSystem = async ({ random, calls }) => {
  const whole = Array.from({ length: calls }, (_, call) =>
    Array.from({ length: call % BATCH_EVERY === 0 ? PARTS : 1 }, (_part, part) => idOf(call, part)),
  );
  const everybodys = Array.from({ length: SHARED }, (_, index) => idOf(calls + index, 0));
  const ids = [...whole.flat(), ...everybodys];
  const simulator = await startSimulator({ instances: ids.map((instanceId) => ({ instanceId })), pace: PACE });
  const targets = ids.map(targetOf);
  const cloud = openCloud({
    random,
    server: simulator,
    replies: REPLIES,
    changes: ({ method }) => method === "PUT",
    namesIn: ({ results }) =>
      ((results ?? []) as { instance: string; result: string }[])
        .filter(({ result }) => result === "success")
        .map(({ instance }) => instance),
  });
  const applied = (target: string): number => {
    const done = simulator.instances.get(target.slice(PREFIX.length))?.done;
    return done === undefined ? 0 : done.restart + done.soft_restart + done.flush;
  };
  return Object.assign(cloud, {
    name: "dcs",
    targets,
    once: whole.map((parts) => parts.map(targetOf)),
    shared: everybodys.map(targetOf),
    env: ENV,
    canTell: () => false,
    namesAll: false,
    configure: (sections: object) => withService({ ...sections }, "dcs", simulator.url),
    ask,
    applied,
    handles: () => undefined, // there are no jobs
    miscounted: () => miscountOf({ name: "dcs", targets, applied }, cloud.names.length),
    [Symbol.asyncDispose]: () => simulator[Symbol.asyncDispose](),
  });
};

function ask(targets: readonly string[]): Ask {
  const instanceIds = targets.map((target) => target.slice(PREFIX.length));
  const body = { projectId: PROJECT_ID, instanceIds };
  const calls: readonly Ask[] = [
    { procedure: "restart.dcs.v1.InstanceService/RestartInstances", body: { ...body, action: "ACTION_RESTART" } },
    { procedure: "restart.dcs.v1.InstanceService/RestartInstances", body: { ...body, action: "ACTION_SOFT_RESTART" } },
    { procedure: "restart.dcs.v1.InstanceService/FlushInstances", body: { ...body, acknowledgeDataLoss: true } },
  ];
  const [first = ""] = instanceIds;
  const chosen = calls[Number.parseInt(first.slice(-4), 16) % calls.length];
  if (chosen === undefined) throw new Error("there is nothing to ask for");
  return chosen;
}

const targetOf = (id: string): string => `${PREFIX}${id}`;

const idOf = (call: number, part: number): string =>
  `e3a7019c-8824-4c4b-${part.toString(16).padStart(4, "9")}-${call.toString(16).padStart(12, "0")}`;
