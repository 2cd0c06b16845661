import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import { NODE, ROOT, run } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";
import { type Program, startProgram } from "../support/program.ts";
import { make, openWorld, type World } from "../targets/kubernetes/behaviour/world.ts";
import type { ControlPlane } from "./attach.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();

describe.skipIf(shared === undefined)("kubectl and restartd, side by side", () => {
  const cluster = shared as ControlPlane;
  let parts: AsyncDisposableStack;
  let world: World;
  let program: Program;
  beforeAll(async () => {
    await using stack = new AsyncDisposableStack();
    world = stack.use(await openWorld(cluster));
    const folder = stack.use(await temporaryFolder());
    // Straight to the API server: the world's tap passes answers on whole, and so none of a watch.
    const clusters = [{ name: "prod", kubeconfig: cluster.kubeconfig, context: "patcher" }];
    const file = await folder.write("restartd.yaml", stringify({ listen: "127.0.0.1:0", kubernetes: { clusters } }));
    program = stack.use(await startProgram(["--config", file]));
    parts = stack.move();
  });
  afterAll(async () => {
    await parts?.disposeAsync();
    await cluster[Symbol.asyncDispose]();
  });

  const restartd = (...args: string[]) =>
    run(NODE, [join(ROOT, "bin/restartd.js"), ...args], {
      env: { RESTARTD_ADDRESS: program.url, RESTARTD_NAMESPACE: world.namespace },
      timeoutMs: 60_000,
    });
  const kubectl = (...args: string[]) => cluster.kubectl([...args, "-n", world.namespace]);

  test.each(["deployments", "statefulsets", "daemonsets"] as const)("say the same of %s", async (resource) => {
    const { ref } = await make(world, resource);
    const target = `${resource}/${ref.name}`;
    const theirs = await kubectl("rollout", "restart", target);
    await kubectl("rollout", "status", target);
    const ours = await restartd("rollout", "restart", target, "--wait");
    expect({ theirs: theirs.code, ours: ours.code }, ours.stderr).toEqual({ theirs: 0, ours: 0 });
    expect(ours.stdout.split("\n")[0]).toBe(theirs.stdout.trimEnd());
    const status = await kubectl("rollout", "status", target);
    expect(status.code).toBe(0);
    expect(ours.stdout.trimEnd().split("\n").at(-1)).toBe(status.stdout.trimEnd());
    expect(await restartd("rollout", "status", target)).toMatchObject({ code: 0, stdout: status.stdout });
  });

  test("refuse a paused deployment with the same sentence, and exit 1", async () => {
    const { ref } = await make(world, "deployments", { spec: { paused: true } });
    const target = `deployment/${ref.name}`;
    const theirs = await kubectl("rollout", "restart", target);
    const ours = await restartd("restart", target);
    expect({ theirs: theirs.code, ours: ours.code }).toEqual({ theirs: 1, ours: 1 });
    const [, sentence = "?"] = /" (can't restart .*)$/m.exec(theirs.stderr) ?? [];
    expect(ours.stderr).toContain(`PAUSED: ${sentence}\nnothing was changed\n`);
  });
});
