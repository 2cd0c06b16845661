import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { mkdtempSync } from "node:fs";
import { startControlPlane } from "../test/cluster/control-plane.ts";
import { createDeployments } from "./deployments.ts";
import { Gun, load, quantile } from "./load.ts";
import { cpuSeconds, residentMb } from "./process.ts";
const [callers = 16, seconds = 6] = process.argv.slice(2).map(Number);
await using cluster = await startControlPlane({ argoRollouts: false });
await cluster.processes.pause("kube-controller-manager");
const { ourShot, rawShot } = await createDeployments(cluster, 100);
const cwd = mkdtempSync("/tmp/s1-prof-");
const child = spawn(process.execPath, [...(process.env.PROF ? ["--cpu-prof", `--cpu-prof-dir=${cwd}`] : []), `${process.cwd()}/src/main.ts`, "--kubeconfig", cluster.info.kubeconfig, "--listen", "127.0.0.1:0"], { cwd, stdio: ["ignore", "pipe", "ignore"] });
const [line] = await once(createInterface(child.stdout), "line");
const url = /http:\S+/.exec(String(line))?.[0] ?? "";
using ours = new Gun(url);
using raw = new Gun(cluster.url, { ca: cluster.info.ca });
await load(ours, ourShot, 16, 3);
const api = (await cluster.processes.status())["kube-apiserver"]?.pid ?? 0;
for (const c of [1, callers]) for (const [n, g, s] of [["raw", raw, rawShot], ["ours", ours, ourShot], ["raw", raw, rawShot], ["ours", ours, ourShot]] as const) {
  const b = [cpuSeconds(child.pid!), cpuSeconds(api)];
  const m = await load(g, s, c, seconds);
  console.log(c, n, "p50", quantile(m.latencies, .5).toFixed(2), m.perSecond.toFixed(0) + "/s", "cpu ours", ((cpuSeconds(child.pid!) - b[0]!) * 1000 / m.latencies.length).toFixed(2), "api", ((cpuSeconds(api) - b[1]!) * 1000 / m.latencies.length).toFixed(2));
}
console.log("rss", residentMb(child.pid!));
child.kill("SIGTERM");
await once(child, "exit");
console.log(cwd);
