/**
 * A thread that calls while the main thread has thousands of streams to read: what its calls wait for is the server alone. Told to end, it
 * says how long each has taken.
 */
import { parentPort, workerData } from "node:worker_threads";
import { Gun, type Shot } from "./load.ts";

/** What it is started with. */
export interface Others {
  readonly url: string;
  /** What is asked for, in turn. */
  readonly shots: readonly Shot[];
  readonly callers: number;
}

const { url, shots, callers } = workerData as Others;
using gun = new Gun(url);
let going = true;
parentPort?.once("message", () => {
  going = false;
});
const latencies: number[] = [];
let turn = 0;
const caller = async (): Promise<void> => {
  while (going) {
    const shot = shots[turn++ % shots.length];
    if (shot === undefined) return;
    const begun = performance.now();
    await gun.fire(shot);
    latencies.push(performance.now() - begun);
  }
};
await Promise.all(Array.from({ length: callers }, caller));
parentPort?.postMessage(latencies);
