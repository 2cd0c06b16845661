import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const path = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Runs the server as a process of its own, which gets every signal, and ends as it ends. */
export function serve(args) {
  const brought = path(`../node_modules/.bin/node${process.platform === "win32" ? ".exe" : ""}`);
  const node = existsSync(brought) ? brought : process.execPath;
  const child = spawn(node, [path("./main.js"), ...args], { stdio: "inherit" });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    process.stderr.write(`restartd: ${node} cannot be started: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => {
    for (const each of signals) process.removeAllListeners(each);
    if (signal === null) process.exit(code);
    process.kill(process.pid, signal);
  });
}
