/**
 * What restartd costs on top of the API server's own PATCH, on a real control plane (kube-controller-manager stopped, 100 Deployments
 * of 0 replicas), as ratios against a raw merge-PATCH loop in the same run: rounds of all, in turn, with the same load generator. Then
 * what it costs at rest, with rollouts that nobody asks about, with many who watch one, and to start. It judges nothing: what each figure
 * is meant to be stands beside it.
 *
 * Usage: npm run bench [-- SECONDS-PER-ROUND [ROUNDS]]
 */
import { execFileSync } from "node:child_process";
import { setTimeout } from "node:timers/promises";
import { stringify } from "yaml";
import { startControlPlane } from "../test/cluster/control-plane.ts";
import { temporaryFolder } from "../test/support/folder.ts";
import { postgresMissing, startPostgres } from "../test/support/postgres.ts";
import { createDeployments } from "./deployments.ts";
import { judged } from "./judged.ts";
import { Gun, load, type Measured, median, quantile, type Shot } from "./load.ts";
import { openRollouts } from "./open-rollouts.ts";
import { cpuSeconds, cpuSecondsByThread, residentMb } from "./process.ts";
import { type Program, startProgram } from "./program.ts";
import { watchers } from "./watchers.ts";

const [SECONDS = 4, ROUNDS = 3] = process.argv.slice(2).map(Number);
const DEPLOYMENTS = 100;
const OPEN = 1_000;
const OPEN_SECONDS = 60;
const RESTARTS = 5_000;
/** Restarts before the rounds: V8 compiles for some thousand of them. */
const WARM = 2_000;
const FIRST = 200;
const REST_SECONDS = 5;
const STARTS = 5;
const WATCHERS = [1_000, 10_000];

const print = (line: string): void => void process.stdout.write(`${line}\n`);
/** @param least what nothing of this shape gets beyond (floor.ts). */
const figure = (what: string, is: string, wanted: string, least?: string): void =>
  print(
    `  ${what.padEnd(74)} ${is.padEnd(16)} wanted ${wanted}${least === undefined ? "" : ` (floor.ts has ${least})`}`,
  );

print("starting a control plane, PostgreSQL and restartd ...");
await using cluster = await startControlPlane({ argoRollouts: false });
await cluster.processes.pause("kube-controller-manager");
const { namespace, names, rawShot, ourShot } = await createDeployments(cluster, DEPLOYMENTS);
await using folder = await temporaryFolder();
await using stack = new AsyncDisposableStack();

/** restartd with a store of one kind. */
async function start(store: object): Promise<Program> {
  const { kubeconfig } = cluster.info;
  const clusters = [{ name: "admin", kubeconfig, context: "admin" }];
  const yaml = stringify({ listen: "127.0.0.1:0", store, kubernetes: { clusters } });
  const config = await folder.write(`${Object.keys(store)[0]}.yaml`, yaml);
  return stack.use(await startProgram("bin/main.js", ["--config", config]));
}

const sqlite = await start({ sqlite: {} });
const atRest = residentMb(sqlite.pid);
let postgres: Program | undefined;
if (!postgresMissing()) {
  const server = stack.use(await startPostgres());
  postgres = await start({ postgres: { url: { file: await folder.write("postgres-url", await server.database()) } } });
}
const apiServerPid = (await cluster.processes.status())["kube-apiserver"]?.pid ?? 0;

/** What is loaded in turn. */
interface Server {
  readonly name: "raw" | "floor" | "SQLite" | "PostgreSQL";
  readonly gun: Gun;
  readonly shot: () => Shot;
  /** Of restartd, or of what stands for it. */
  readonly pid: number | undefined;
}
const ours = (name: Server["name"], { url, pid }: Program): Server => ({
  name,
  gun: stack.use(new Gun(url)),
  shot: ourShot,
  pid,
});
const sqliteServer = ours("SQLite", sqlite);
const servers: Server[] = [
  { name: "raw", gun: stack.use(new Gun(cluster.url, { ca: cluster.info.ca })), shot: rawShot, pid: undefined },
  ours("floor", stack.use(await startProgram("bench/floor.ts", [cluster.info.kubeconfig]))),
  sqliteServer,
  ...(postgres === undefined ? [] : [ours("PostgreSQL", postgres)]),
];

/** One round: what it measured, and what a request cost both servers, in CPU milliseconds. */
interface Round {
  readonly measured: Measured;
  readonly restartdMs: number;
  /** The same by kinds of threads. */
  readonly threadsMs: ReadonlyMap<string, number>;
  readonly apiServerMs: number;
}

async function round({ gun, shot, pid }: Server, callers: number): Promise<Round> {
  const cpu = () => ({
    restartd: pid === undefined ? 0 : cpuSeconds(pid),
    threads: pid === undefined ? new Map<string, number>() : cpuSecondsByThread(pid),
    apiServer: cpuSeconds(apiServerPid),
  });
  const before = cpu();
  const measured = await load(gun, shot, callers, SECONDS);
  const after = cpu();
  const per = (from: number, to: number) => ((to - from) * 1000) / measured.latencies.length;
  return {
    measured,
    restartdMs: per(before.restartd, after.restartd),
    threadsMs: new Map([...after.threads].map(([part, to]) => [part, per(before.threads.get(part) ?? 0, to)])),
    apiServerMs: per(before.apiServer, after.apiServer),
  };
}

const p50 = ({ measured }: Round): number => quantile(measured.latencies, 0.5);
const perSecond = ({ measured }: Round): number => measured.perSecond;

/** Fires so many, 16 at a time. */
async function fire({ gun, shot }: Pick<Server, "gun" | "shot">, count: number): Promise<void> {
  let left = count;
  const caller = async (): Promise<void> => {
    while (left-- > 0) await gun.fire(shot());
  };
  await Promise.all(Array.from({ length: 16 }, caller));
}

/** What the first restarts after a start cost, in CPU milliseconds for each: nothing is known of their objects, and little is compiled. */
const first = new Map<Server["name"], number>();
for (const server of servers) {
  const { name, pid } = server;
  const before = pid === undefined ? 0 : cpuSeconds(pid);
  await fire(server, FIRST);
  if (pid !== undefined) first.set(name, ((cpuSeconds(pid) - before) * 1000) / FIRST);
  await fire(server, WARM - FIRST);
}

/** CPU seconds that the API server uses in a second in which nobody asks for anything. */
const apiServerAtRest = await (async () => {
  const before = cpuSeconds(apiServerPid);
  await setTimeout(REST_SECONDS * 1000);
  return (cpuSeconds(apiServerPid) - before) / REST_SECONDS;
})();

for (const callers of [1, 16]) {
  const rounds: Map<Server["name"], Round>[] = [];
  for (let index = 0; index < ROUNDS; index++) {
    const results = new Map<Server["name"], Round>();
    for (const server of servers) results.set(server.name, await round(server, callers));
    rounds.push(results);
  }
  /** Median over the rounds of a ratio within each. */
  const over = (one: Server["name"], pick: (round: Round) => number, base?: Server["name"], pickBase = pick): string =>
    median(
      rounds.flatMap((results) => {
        const [round, other] = [results.get(one), results.get(base ?? one)];
        return round && other ? [pick(round) / (base === undefined ? 1 : pickBase(other))] : [];
      }),
    ).toFixed(2);
  print(`\n${callers} caller${callers > 1 ? "s" : ""} (medians of ${ROUNDS} rounds of ${SECONDS} s)`);
  for (const { name } of servers) {
    const cpu = name === "raw" ? "" : `its server ${over(name, ({ restartdMs }) => restartdMs)} ms, `;
    print(
      `  ${name.padEnd(12)} p50 ${over(name, p50)} ms   ${over(name, perSecond)}/s   CPU for each: ${cpu}API server ${over(name, ({ apiServerMs }) => apiServerMs)} ms`,
    );
  }
  for (const [name, ms] of first) {
    const parts = [...(rounds[0]?.get(name)?.threadsMs.keys() ?? [])];
    const each = parts.map((part) => `${part} ${over(name, ({ threadsMs }) => threadsMs.get(part) ?? 0)}`);
    print(
      `  ${name}, CPU of its server by threads (ms): ${each.join(", ")}; of the first ${FIRST} restarts ${ms.toFixed(2)}`,
    );
  }
  const cpuOf = ({ restartdMs }: Round): number => restartdMs;
  const apiOf = ({ apiServerMs }: Round): number => apiServerMs;
  /** Without what it uses whether or not somebody asks: the slower requests come, the more of that falls on each. */
  const apiAlone = ({ apiServerMs, measured }: Round): number =>
    apiServerMs - (apiServerAtRest * 1000) / measured.perSecond;
  /** What SQLite's costs beside a raw PATCH. */
  const compare = (what: string, wanted: string, pick: (round: Round) => number, pickBase = pick): void =>
    figure(what, over("SQLite", pick, "raw", pickBase), wanted, over("floor", pick, "raw", pickBase));
  const cpu = "CPU of restartd for a restart / API server's for a raw PATCH";
  if (callers === 1) {
    compare("SQLite: p50 / raw", "<= 1.6", p50);
    compare(cpu, "<= 0.6", cpuOf, apiOf);
    if (postgres) figure("PostgreSQL: p50 / raw", over("PostgreSQL", p50, "raw"), "<= 2.5");
  } else {
    compare("SQLite: throughput / raw", ">= 0.65", perSecond);
    compare(cpu, "<= 0.5", cpuOf, apiOf);
    compare("API server's CPU for a restart / for a raw PATCH", "<= 1.2", apiOf);
    print(
      `  the same without what the API server uses at rest, ${(apiServerAtRest * 1000).toFixed(0)} ms a second: ${over("SQLite", apiAlone, "raw")}`,
    );
    if (postgres) figure("PostgreSQL: throughput / SQLite's", over("PostgreSQL", perSecond, "SQLite"), ">= 0.6");
  }
}

print(`\nat rest, and after ${RESTARTS} restarts`);
await fire(sqliteServer, RESTARTS);
figure("resident memory at rest", `${atRest.toFixed(0)} MB`, "<= 160 MB");
figure("resident memory after the load", `${residentMb(sqlite.pid).toFixed(0)} MB`, "<= 250 MB");

print(`\n${OPEN} rollouts that run, nobody asking`);
const open = await openRollouts(cluster, sqlite, OPEN, OPEN_SECONDS);
figure("requests to the API server a minute", open.requests.toFixed(0), "<= 60");
figure("CPU of restartd", `${(open.cpu * 100).toFixed(1)} % of a core`, "<= 3 %");

print("\na caller who is known and judged: a JWT, 500 rules, 200 groups");
const clusters = [{ name: "admin", kubeconfig: cluster.info.kubeconfig, context: "admin" }];
const added = await judged({
  folder,
  sections: { kubernetes: { clusters } },
  shot: ourShot,
  seconds: SECONDS,
  rounds: ROUNDS,
});
figure("what that adds to the p50 of a restart", `${added.p50Ms.toFixed(2)} ms`, "<= 0.5 ms");
print(`  and to the CPU of restartd for it: ${added.cpuMs.toFixed(2)} ms`);

print("\nstarts");
const starts: number[] = [];
const helps: number[] = [];
for (let index = 0; index < STARTS; index++) {
  await using sandbox = await startProgram("bin/main.js", ["--listen", "127.0.0.1:0"]);
  starts.push(sandbox.startMs);
  const begun = performance.now();
  execFileSync(process.execPath, ["bin/restartd.js", "operations", "--help"], { stdio: "ignore" });
  helps.push(performance.now() - begun);
}
figure("the sandbox", `${(median(starts) / 1000).toFixed(2)} s`, "<= 1 s");
figure("operations --help", `${(median(helps) / 1000).toFixed(2)} s`, "<= 0.25 s");

const [watchedName = ""] = names;
const others = names.map(() => ourShot()).filter(({ body }) => !body.includes(`"name":"${watchedName}"`));
for (const count of WATCHERS) {
  print(`\n${count} watchers of one Deployment`);
  const { pid, url } = sqlite;
  const watched = await watchers({ cluster, url, pid, namespace, name: watchedName, count, others });
  figure("upstream watches beside those that there were", watched.upstream.toFixed(0), "<= 1");
  figure("from sending a change to the last watcher, median", `${watched.median.toFixed(0)} ms`, "<= 2000 ms");
  figure("the same, longest", `${watched.longest.toFixed(0)} ms`, "<= 2000 ms");
  print(`  CPU of restartd for a message to one watcher: ${watched.cpuMs.toFixed(2)} ms`);
  figure("memory for each", `${watched.kbEach.toFixed(0)} kB`, "<= 20 kB");
  figure("other callers' p99 meanwhile", `${watched.othersP99.toFixed(0)} ms`, "<= 250 ms");
}
