/**
 * Ends the processes of a control plane when whoever started them goes away: `watchdog.ts FOLDER`.
 *
 * Reads `+ PID` and `- PID` lines on stdin. When stdin closes, which the kernel does even for a parent killed by SIGKILL, it kills
 * what is left and removes FOLDER.
 */
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";

const [folder] = process.argv.slice(2);
const pids = new Set<number>();
for await (const line of createInterface({ input: process.stdin })) {
  const pid = Number(line.slice(2));
  if (line.startsWith("+")) pids.add(pid);
  else pids.delete(pid);
}
for (const pid of pids) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // Gone by itself meanwhile: that is all we want.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
// A process that was just killed may still be writing its last file.
if (folder !== undefined) rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
