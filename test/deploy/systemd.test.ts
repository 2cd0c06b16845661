import { readFileSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { findProgram } from "../e2e/tools.ts";
import { NODE, ROOT, run } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";

const analyze = findProgram("systemd-analyze");
if (analyze === undefined)
  process.stderr.write("\n  SKIPPED: systemd's own view of the unit: systemd-analyze is not there\n\n");

const unit = readFileSync(join(ROOT, "deploy/systemd/restartd.service"), "utf8");
const settings = (name: string): string[] =>
  [...unit.matchAll(new RegExp(`^${name}=(.*)$`, "gm"))].map(([, value = ""]) => value);

describe("deploy/systemd/restartd.service", () => {
  it("judges the configuration first, does not try a mistake again, and gives a drain its time", () => {
    expect(settings("ExecStartPre")).toEqual(["/usr/bin/restartd check --config /etc/restartd/restartd.yaml"]);
    expect(settings("RestartPreventExitStatus")).toEqual(["2"]);
    expect(settings("ExecReload")).toEqual([]); // SIGHUP ends it
    expect(Number(settings("TimeoutStopSec")[0])).toBeGreaterThan(30 + 10); // drain.limit, and what may follow it
    // V8 compiles into memory that it then runs.
    expect(settings("MemoryDenyWriteExecute")).toEqual([]);
    expect(settings("DynamicUser")).toEqual(["yes"]);
  });

  it.skipIf(analyze === undefined)("is a unit to systemd, and one that is exposed to little", async () => {
    await using folder = await temporaryFolder();
    // Whose program is there.
    const file = await folder.write("restartd.service", unit.replaceAll("/usr/bin/restartd", NODE));
    await chmod(file, 0o644);
    const verified = await run(analyze ?? "", ["verify", "--man=no", file]);
    expect(verified).toMatchObject({ code: 0, stderr: "" });
    const judged = await run(analyze ?? "", ["security", "--offline=true", "--threshold=20", file]);
    expect(judged, judged.stdout).toMatchObject({ code: 0 });
  });
});
