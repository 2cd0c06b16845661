/**
 * What restartd costs on top of the API server's own PATCH, on a real control plane (kube-controller-manager stopped, 100 Deployments
 * of 0 replicas), as ratios against a raw merge-PATCH loop in the same run: rounds of both, in turn, with the same load generator.
 *
 * Usage: npm run bench [-- SECONDS-PER-ROUND [ROUNDS]]
 */
import { startControlPlane } from "../test/cluster/control-plane.ts";
import { createDeployments } from "./deployments.ts";
import { Gun, load, type Measured, median, quantile, type Shot } from "./load.ts";
import { cpuSeconds, residentMb } from "./process.ts";
import { startProgram } from "./program.ts";
import { watchers } from "./watchers.ts";

const [SECONDS = 4, ROUNDS = 3] = process.argv.slice(2).map(Number);
const DEPLOYMENTS = 100;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

print("starting a control plane and restartd ...");
await using cluster = await startControlPlane({ argoRollouts: false });
await cluster.processes.pause("kube-controller-manager");
const { namespace, names, rawShot, ourShot } = await createDeployments(cluster, DEPLOYMENTS);
await using restartd = await startProgram("src/main.ts", [
  "--kubeconfig",
  cluster.info.kubeconfig,
  "--listen",
  "127.0.0.1:0",
]);
print(`restartd at rest: ${residentMb(restartd.pid).toFixed(0)} MB resident`);

using raw = new Gun(cluster.url, { ca: cluster.info.ca });
using ours = new Gun(restartd.url);
const apiServerPid = (await cluster.processes.status())["kube-apiserver"]?.pid ?? 0;

/** One round: what it measured, and what a request cost both servers, in CPU milliseconds. */
interface Round {
  readonly measured: Measured;
  readonly restartdMs: number;
  readonly apiServerMs: number;
}

async function round(gun: Gun, shot: () => Shot, callers: number): Promise<Round> {
  const before = [cpuSeconds(restartd.pid), cpuSeconds(apiServerPid)] as const;
  const measured = await load(gun, shot, callers, SECONDS);
  const per = (now: number, then: number) => ((now - then) * 1000) / measured.latencies.length;
  return {
    measured,
    restartdMs: per(cpuSeconds(restartd.pid), before[0]),
    apiServerMs: per(cpuSeconds(apiServerPid), before[1]),
  };
}

// Warm: every object known to restartd, every path of both servers taken.
await load(ours, ourShot, 16, 3);
await load(raw, rawShot, 16, 1);

for (const callers of [1, 16, 64]) {
  const rounds: { raw: Round; ours: Round }[] = [];
  for (let index = 0; index < ROUNDS; index++) {
    rounds.push({ raw: await round(raw, rawShot, callers), ours: await round(ours, ourShot, callers) });
  }
  const p50 = (measured: Measured) => quantile(measured.latencies, 0.5);
  const over = (pick: (entry: (typeof rounds)[number]) => number) => median(rounds.map(pick)).toFixed(2);
  print(`\n${callers} caller${callers > 1 ? "s" : ""} (medians of ${ROUNDS} rounds of ${SECONDS} s)`);
  print(
    `  raw merge PATCH   p50 ${over(({ raw }) => p50(raw.measured))} ms   ${over(({ raw }) => raw.measured.perSecond)}/s`,
  );
  print(
    `  restartd          p50 ${over(({ ours }) => p50(ours.measured))} ms   ${over(({ ours }) => ours.measured.perSecond)}/s`,
  );
  print(
    `  ratio             p50 ${over((entry) => p50(entry.ours.measured) / p50(entry.raw.measured))}      throughput ${over((entry) => entry.ours.measured.perSecond / entry.raw.measured.perSecond)}`,
  );
  print(
    `  CPU per restart   restartd ${over(({ ours }) => ours.restartdMs)} ms   API server ${over(({ ours }) => ours.apiServerMs)} ms (raw: ${over(({ raw }) => raw.apiServerMs)} ms)`,
  );
}
print(`\nrestartd after the load: ${residentMb(restartd.pid).toFixed(0)} MB resident`);
print(
  `\n${await watchers({ cluster, url: restartd.url, pid: restartd.pid, namespace, name: names[0] ?? "", count: 1000 })}`,
);
