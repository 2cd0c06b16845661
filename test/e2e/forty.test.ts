import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { emptyWorld, type World, workload } from "../../src/targets/kubernetes/simulator.ts";
import { openLossyProxy } from "../console/lossy-proxy.ts";
import { NODE, ROOT } from "../support/command.ts";
import { type Configured, startConfigured } from "../support/configured.ts";
import { startProgram } from "../support/program.ts";
import { openTcpProxy } from "../support/tcp-proxy.ts";

const BIN = join(ROOT, "bin/restartd.js");
const NAMES = Array.from({ length: 40 }, (_, index) => `shop-${index}`);
const WORLD: World = {
  ...emptyWorld,
  namespaces: [...emptyWorld.namespaces, "shop"],
  objects: NAMES.map((name) => workload("apps/v1", "Deployment", name, { replicas: 1 })),
};

let configured: Configured;
beforeAll(async () => {
  configured = await startConfigured({}, {}, WORLD);
});
afterAll(() => configured[Symbol.asyncDispose]());
beforeEach(() => configured.backend.controllers.resume());

const portOf = (url: string): number => Number(new URL(url).port);

/** Restarts all forty and waits. */
function restartAll(address: string, ...flags: string[]) {
  const env = { ...process.env, RESTARTD_ADDRESS: address, RESTARTD_NAMESPACE: "shop", RESTARTD_CLIENT_CONFIG: "" };
  const args = ["restart", "deployment", ...NAMES, "--yes", "--wait", ...flags];
  const child = spawn(NODE, [BIN, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  const { promise: sent, resolve } = Promise.withResolvers<void>();
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stdout.match(/ restarted\n/g)?.length === NAMES.length) resolve();
  });
  const end = Promise.all([once(child, "close"), text(child.stderr)]).then(([[code], stderr]) => ({
    code,
    stdout,
    stderr,
  }));
  return { sent, end };
}

const DONE = NAMES.map((name) => `deployment.apps/${name}: deployment "${name}" successfully rolled out`).sort();

const ended = (stdout: string): string[] =>
  stdout
    .split("\n")
    .filter((line) => line.endsWith("rolled out"))
    .sort();

describe("forty targets", () => {
  it("are restarted and waited for over one connection", async () => {
    await using proxy = await openTcpProxy(portOf(configured.program.url));
    const { code, stdout, stderr } = await restartAll(`http://127.0.0.1:${proxy.port}`).end;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(ended(stdout)).toEqual(DONE);
    expect(proxy.connections).toBe(1);
  });

  it("are waited for as well where what is in between speaks HTTP/1.1 alone, over many", async () => {
    await using old = await openLossyProxy(configured.program.url);
    await using proxy = await openTcpProxy(portOf(old.origin));
    const { code, stdout, stderr } = await restartAll(`http://127.0.0.1:${proxy.port}`).end;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(ended(stdout)).toEqual(DONE);
    expect(proxy.connections).toBeGreaterThan(1); // what is counted above can be more than one
  });

  it("are waited for on a second connection when the first dies", async () => {
    await using proxy = await openTcpProxy(portOf(configured.program.url));
    configured.backend.controllers.pause();
    const run = restartAll(`http://127.0.0.1:${proxy.port}`);
    await run.sent;
    proxy.reset();
    await configured.backend.controllers.resume();
    const { code, stdout } = await run.end;
    expect(code).toBe(0);
    expect(ended(stdout)).toEqual(DONE);
    expect(proxy.connections).toBe(2);
  });

  it("are waited for over the end of their server, which says that it goes, until it is there again", async () => {
    await using one = await startConfigured({}, {}, WORLD);
    await one.backend.controllers.pause();
    const run = restartAll(one.program.url);
    await run.sent;
    expect(await one.program.stop()).toBe(0);
    await using again = await startProgram(["--config", one.file, "--listen", one.program.address]);
    await one.backend.controllers.resume();
    const { code, stdout } = await run.end;
    expect(code).toBe(0);
    expect(ended(stdout)).toEqual(DONE);
    expect(again.log.length).toBeGreaterThan(0);
  });
});
