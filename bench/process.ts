import { readdirSync, readFileSync } from "node:fs";

/** Ticks of a second in /proc: 100 on every Linux that there is. */
const TICKS = 100;

/** CPU seconds that a process has used, by /proc. Linux alone. */
export const cpuSeconds = (pid: number): number => secondsIn(`/proc/${pid}/stat`);

/** Parts of a process of Node.js by what its threads are called; of a worker thread restartd has one, its store's. */
const THREADS = { MainThread: "main thread", WorkerThread: "the store's", V8Worker: "V8's (garbage, compiler)" };

/** The same by kinds of threads. Those that have ended are not counted. */
export function cpuSecondsByThread(pid: number): Map<string, number> {
  const parts = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const name = readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").trim();
    const part = Reflect.get(THREADS, name) ?? "others";
    parts.set(part, (parts.get(part) ?? 0) + secondsIn(`/proc/${pid}/task/${thread}/stat`));
  }
  return parts;
}

function secondsIn(file: string): number {
  const fields = readFileSync(file, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

/** Resident memory of a process in MB, by /proc. */
export function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}
