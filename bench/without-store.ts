/**
 * `node bench/without-store.ts KUBECONFIG`: restartd without operations. A restart is checked, sent and answered, and nothing of it is
 * kept: what an operation costs is measured against that.
 */

import { createRegistry, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { file_restart_config_v1_config } from "../gen/restart/config/v1/config_pb.ts";
import { makeConfig } from "../src/config.ts";
import { callKey, type Warned, warn } from "../src/core/call.ts";
import { remainingMs } from "../src/core/deadline.ts";
import { noMeter } from "../src/core/meter.ts";
import type { Action, MutatingRequest, Operations, PrepareContext } from "../src/core/operation.ts";
import { principalKey } from "../src/core/principal.ts";
import { withDependencies } from "../src/core/schema.ts";
import { noTracer } from "../src/core/tracer.ts";
import { newValidator } from "../src/interceptors/validate.ts";
import { createBackground, createLog } from "../src/server/log.ts";
import { startServer } from "../src/server/server.ts";
import { Shutdown } from "../src/server/shutdown.ts";
import { sectionsOfKubeconfig, TARGETS } from "../src/targets/index.ts";

const [kubeconfig = ""] = process.argv.slice(2);

async function runNow<Input extends DescMessage, Output extends DescMessage, Plan>(
  action: Action<Input, Output, Plan>,
  request: MessageShape<Input> & MutatingRequest,
  context: HandlerContext,
): Promise<MessageShape<Output>> {
  const call = context.values.get(callKey);
  call.target = action.targetOf(request);
  const warnings = new Set<Warned>();
  const asking: PrepareContext = {
    call,
    principal: context.values.get(principalKey),
    signal: context.signal,
    remainingMs: () => remainingMs(context.values),
    validateOnly: false,
    warn: (added) => {
      for (const warning of added) warnings.add(warning);
      warn(context, warnings);
    },
  };
  const plan = await action.prepare(request, asking);
  const sent = await action.send(request, plan, { ...asking, operation: "", permit: async () => () => {} });
  if (sent.response === undefined) {
    throw new Error(`${action.method.name} has no answer at once`);
  }
  return sent.response;
}

const log = createLog();
const shutdown = new Shutdown();
const config = makeConfig((reader) => sectionsOfKubeconfig(kubeconfig, reader), {
  validator: newValidator(createRegistry(...withDependencies([file_restart_config_v1_config]))),
  readSections: (sections, reader) => TARGETS.map((target) => target.read(sections, reader)),
  listen: "127.0.0.1:0",
  storeInMemory: true,
});
const operations: Operations = {
  run: runNow,
  runAll: () => Promise.reject(new Error("what has parts is not measured")),
};
const targets = config.targets.map((open) =>
  open({
    now: () => new Date(),
    monotonic: () => performance.now(),
    random: Math.random,
    warn: () => {},
    background: createBackground(shutdown, log),
    meter: noMeter,
    tracer: noTracer,
    operations,
  }),
);
const routes = targets.flatMap((target) => target.routes);
const { deadline, allowedOrigins, listen } = config;
const server = await startServer({ ...listen, routes, deadline, allowedOrigins, log, shutdown });
process.stdout.write(`listening on ${server.url}\n`);
process.once("SIGTERM", () => void server.close().then(() => process.exit(0)));
