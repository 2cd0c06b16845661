/**
 * What an operation costs on top of the checks and the PATCH that it is about: restartd with its store in SQLite and in PostgreSQL (fsync
 * on, on the disk of temporary files) against the same program without operations, on a real control plane (kube-controller-manager
 * stopped, Deployments of 0 replicas), as ratios in the same run: rounds of all, in turn. Operations are looked at and end meanwhile, by
 * the next restart of the same Deployment: that is part of the cost. Before that: how long a start takes and how long lists take, with
 * many operations in SQLite.
 *
 * Usage: npm run bench:operations [-- SECONDS-PER-ROUND [ROUNDS]]
 */
import { stringify } from "yaml";
import { startControlPlane } from "../test/cluster/control-plane.ts";
import { temporaryFolder } from "../test/support/folder.ts";
import { postgresMissing, startPostgres } from "../test/support/postgres.ts";
import { createDeployments } from "./deployments.ts";
import { Gun, load, type Measured, median, quantile } from "./load.ts";
import { cpuSeconds } from "./process.ts";
import { startProgram } from "./program.ts";
import { startsAndLists } from "./start.ts";

const [SECONDS = 4, ROUNDS = 3] = process.argv.slice(2).map(Number);

const DEPLOYMENTS = 100;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

print(await startsAndLists());
print("\nstarting a control plane, PostgreSQL and three servers ...");
await using cluster = await startControlPlane({ argoRollouts: false });
await cluster.processes.pause("kube-controller-manager");
const { ourShot } = await createDeployments(cluster, DEPLOYMENTS);
await using folder = await temporaryFolder();
const { kubeconfig } = cluster.info;
const configured = (store: object) =>
  folder.write(
    `${Object.keys(store)[0]}.yaml`,
    stringify({
      listen: "127.0.0.1:0",
      store,
      kubernetes: { clusters: [{ name: "admin", kubeconfig, context: "admin" }] },
    }),
  );

await using stack = new AsyncDisposableStack();
const servers = new Map([["without a store", stack.use(await startProgram("bench/without-store.ts", [kubeconfig]))]]);
servers.set("SQLite", stack.use(await startProgram("bin/main.js", ["--config", await configured({ sqlite: {} })])));
if (!postgresMissing()) {
  const postgres = stack.use(await startPostgres());
  const url = await folder.write("postgres-url", await postgres.database());
  const config = await configured({ postgres: { url: { file: url } } });
  servers.set("PostgreSQL", stack.use(await startProgram("bin/main.js", ["--config", config])));
}
const guns = [...servers].map(([name, { url, pid }]) => ({ name, pid, gun: stack.use(new Gun(url)) }));

/** What one round of one server measured. */
interface Round extends Measured {
  /** CPU milliseconds of the server for a restart. */
  readonly cpuMs: number;
}

async function round({ gun, pid }: (typeof guns)[number], callers: number): Promise<Round> {
  const before = cpuSeconds(pid);
  const measured = await load(gun, ourShot, callers, SECONDS);
  return { ...measured, cpuMs: ((cpuSeconds(pid) - before) * 1000) / measured.latencies.length };
}

// Warm: every object known to each, every path taken.
for (const { gun } of guns) {
  await load(gun, ourShot, 16, 2);
}
for (const callers of [1, 16]) {
  const rounds: (readonly Round[])[] = [];
  for (let index = 0; index < ROUNDS; index++) {
    const results: Round[] = [];
    for (const server of guns) results.push(await round(server, callers));
    rounds.push(results);
  }
  print(`\n${callers} caller${callers > 1 ? "s" : ""} (medians of ${ROUNDS} rounds of ${SECONDS} s)`);
  for (const [index, { name }] of guns.entries()) {
    const over = (pick: (one: Round, base: Round) => number): string =>
      median(rounds.flatMap(({ [index]: one, 0: base }) => (one && base ? [pick(one, base)] : []))).toFixed(2);
    const p50 = ({ latencies }: Round): number => quantile(latencies, 0.5);
    print(
      `  ${name.padEnd(16)} p50 ${over(p50)} ms (x ${over((one, base) => p50(one) / p50(base))})   ${over(({ perSecond }) => perSecond)}/s (x ${over((one, base) => one.perSecond / base.perSecond)})   p99 ${over(({ latencies }) => quantile(latencies, 0.99))} ms   CPU ${over(({ cpuMs }) => cpuMs)} ms`,
    );
  }
}
