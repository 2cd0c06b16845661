import { copyFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { stringify } from "yaml";
import { Operations } from "../gen/google/longrunning/operations_pb.ts";
import { sandboxWorld } from "../src/targets/kubernetes/simulator.ts";
import { type Seed, seedSqlite } from "../test/operations/seed.ts";
import { temporaryFolder } from "../test/support/folder.ts";
import { startSimulatorBackend } from "../test/support/simulator-backend.ts";
import { median } from "./load.ts";
import { cpuSeconds } from "./process.ts";
import { startProgram } from "./program.ts";

const FINISHED = 100_000;
const OPEN = 1_000;
const STARTS = 5;
/** How often each list is asked for. */
const LISTS = 15;
const PAGE = 100;

/**
 * Starts the program with a big SQLite store, and lists what is in it; says how long that took. The first list comes while the program
 * still loads what calls need (warmUp): a new store shows how long that alone takes.
 */
export async function startsAndLists(): Promise<string> {
  await using backend = await startSimulatorBackend({ world: sandboxWorld });
  await using folder = await temporaryFolder();
  const config = await folder.write(
    "restartd.yaml",
    stringify({
      listen: "127.0.0.1:0",
      kubernetes: { clusters: [{ name: "admin", kubeconfig: backend.kubeconfig, context: "admin" }] },
    }),
  );
  const store = join(folder.path, "restartd.db");
  /** Starts `STARTS` times, each time with the store as it was; `then` has the first one. */
  const starts = async (what: string, seeded?: string, then?: (url: string) => Promise<void>): Promise<string> => {
    const walls: number[] = [];
    const cpus: number[] = [];
    const lists: number[] = [];
    for (let index = 0; index < STARTS; index++) {
      await rm(store, { force: true });
      if (seeded !== undefined) await copyFile(seeded, store);
      await using program = await startProgram("bin/main.js", ["--config", config]);
      cpus.push(cpuSeconds(program.pid) * 1000);
      walls.push(program.startMs);
      lists.push(await timed(() => operationsAt(program.url).listOperations({ pageSize: PAGE })));
      if (index === 0) await then?.(program.url);
    }
    return `  start, ${what.padEnd(40)} ${shown(walls)}, CPU ${median(cpus).toFixed(0)} ms, first list ${median(lists).toFixed(0)} ms`;
  };
  const seed: Omit<Seed, "openState"> = { finished: FINISHED, open: OPEN, audited: true, newest: Date.now() };
  const lines = [await starts("a new store")];
  let lists: string[] = [];
  for (const [openState, what] of [
    ["SENT", "open operations to be looked at"],
    ["SENDING", "open operations of a dead process"],
  ] as const) {
    const seeded = join(folder.path, `${openState}.db`);
    const records = await seedSqlite(seeded, { ...seed, openState });
    const target = records[FINISHED / 2]?.target ?? "";
    const list = async (url: string): Promise<void> => {
      lists = await listTimes(url, target, seed.newest);
    };
    lines.push(await starts(what, seeded, openState === "SENT" ? list : undefined));
  }
  return [`SQLite with ${FINISHED} finished and ${OPEN} open operations`, ...lines, ...lists].join("\n");
}

const operationsAt = (url: string) => createClient(Operations, createGrpcTransport({ baseUrl: url }));

/** How long each kind of page takes a gRPC client. */
async function listTimes(url: string, target: string, newest: number): Promise<string[]> {
  const client = operationsAt(url);
  const list = (filter: string, pageToken = "") => client.listOperations({ filter, pageSize: PAGE, pageToken });
  const middle = new Date(newest - (FINISHED / 2) * 1_000).toISOString();
  const filters = [
    "",
    "state = SUCCEEDED",
    "state = UNRESOLVED",
    "state = CANCELLED",
    `target = "${target}"`,
    `target < "${target}"`,
    `target > "${target}"`,
    'principal = "anonymous"',
    'principal = "nobody"',
    'principal > "anonymous"',
    `create_time < "${middle}"`,
    `create_time > "${middle}"`,
    `state = FAILED AND create_time < "${middle}"`,
  ];
  const lines: string[] = [];
  for (const filter of filters) {
    const times = await timesOf(LISTS, () => timed(() => list(filter)));
    lines.push(`  list, first page, ${(filter || "no filter").slice(0, 40).padEnd(40)} ${shown(times)}`);
  }
  let token = "";
  for (let page = 1; page < 50; page++) token = (await list("", token)).nextPageToken;
  const times = await timesOf(LISTS, () => timed(() => list("", token)));
  return [...lines, `  list, page 50, ${"no filter".padEnd(43)} ${shown(times)}`];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

async function timesOf(count: number, work: (index: number) => Promise<number>): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index++) times.push(await work(index));
  return times;
}

const shown = (times: readonly number[]): string =>
  `median ${median(times).toFixed(1)} ms, longest ${Math.max(...times).toFixed(1)} ms`;
