/**
 * One server of a chaos run: what src/main.ts makes of a configuration file, with a clock that may be wrong and a failpoint at which it
 * kills or stops itself. It says `listening URL` and `reached POINT` on stdout, and ends with its stdin.
 */
import { writeSync } from "node:fs";
import { createRegistry } from "@bufbuild/protobuf";
import { file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import { loadConfig } from "../../src/config.ts";
import { withDependencies } from "../../src/core/schema.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import type { Failpoint } from "../../src/operations/records/failpoint.ts";
import { serve } from "../../src/serve.ts";
import { createLog } from "../../src/server/log.ts";
import { TARGETS } from "../../src/targets/index.ts";
import { forgetful } from "./forgetful.ts";
import { PLAN, type ReplicaPlan } from "./plan.ts";
import { resending } from "./resend.ts";

const STDOUT = 1;

const plan: ReplicaPlan = JSON.parse(process.env[PLAN] ?? "");

let times = 0;

/** Synchronous: nothing happens between the point and the signal. */
function failpoint(point: Failpoint): void {
  const { mishap } = plan;
  if (mishap?.point !== point) return;
  times += 1;
  if (times !== mishap.nth) return;
  writeSync(STDOUT, `reached ${point}\n`);
  process.kill(process.pid, mishap.signal);
}

process.stdin.once("end", () => process.exit(1)).resume();

const config = loadConfig(plan.config, {
  validator: newValidator(createRegistry(...withDependencies([file_restart_config_v1_config]))),
  readSections: (sections, reader) => TARGETS.map((target) => target.read(sections, reader)),
});
const served = await serve({
  config: plan.resend ? { ...config, targets: config.targets.map(resending) } : config,
  log: createLog(),
  now: () => new Date(Date.now() + plan.skewMs),
  timing: plan.timing,
  failpoint,
  ...(plan.forgetful && { around: forgetful }),
});
writeSync(STDOUT, `listening ${served.url}\n`);
await served.warmUp();
