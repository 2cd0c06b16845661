import { randomBytes } from "node:crypto";
import { createRegistry } from "@bufbuild/protobuf";
import { file_restart_config_v1_config } from "../gen/restart/config/v1/config_pb.ts";
import { type OpenAccess, readAccess } from "./access/access.ts";
import { readCalendar } from "./access/calendar.ts";
import { emptyRequest, unknownPermission } from "./access/catalog.ts";
import { hashOf } from "./access/tokens.ts";
import { type Command, HELP, parseCommand, UsageError } from "./cli.ts";
import { type Config, type ConfigOptions, loadConfig, makeConfig } from "./config.ts";
import { ConfigError } from "./core/problem.ts";
import { withDependencies } from "./core/schema.ts";
import type { OpenTarget } from "./core/target.ts";
import { COMMIT, VERSION, versionLine } from "./core/version.ts";
import { growUnderLoad } from "./heap.ts";
import { newValidator } from "./interceptors/validate.ts";
import { StoreRefused } from "./operations/store/store.ts";
import { permissionsOf, serve } from "./serve.ts";
import { createLog, describeCause, type Logger, logWarnings } from "./server/log.ts";
import type { Message } from "./server/log-messages.ts";
import { openLogOutput } from "./server/log-output.ts";
import { CONSOLE_PATH } from "./server/pages.ts";
import { sectionsOfKubeconfig, TARGETS } from "./targets/index.ts";

/** What the targets serve. */
const SERVICES = TARGETS.flatMap(({ services }) => services);

type Serve = Extract<Command, { kind: "serve" }>;

/** A call to try first, in the sandbox's world. */
const TRY = (url: string): string =>
  `npx buf curl -d '{"cluster":"sandbox","group":"apps","version":"v1","resource":"deployments","namespace":"shop","name":"web"}' ` +
  `${url}/restart.kubernetes.v1.WorkloadService/Restart`;

/** Exit code of a mistake in the command line or the configuration. */
const MISTAKE = 2;

/** The last lines have so many milliseconds to be written: whoever does not read them does not keep the process from ending. */
const LAST_LINES_MS = 1000;

const stderr = openLogOutput(() => new Date());

async function main(): Promise<void> {
  const command = parseCommand(process.argv.slice(2));
  switch (command.kind) {
    case "help":
      process.stdout.write(HELP);
      return;
    case "version":
      process.stdout.write(`${versionLine(COMMIT, process.version)}\n`);
      return;
    case "check":
      return checkConfiguration(command.args);
    case "store":
      return lookAfterStore(command.args);
    case "token":
      return makeToken(command.args);
    case "policy":
      return askPolicy(command.args);
    case "serve":
      return run(command, createLog(stderr));
  }
}

async function run({ source, listen, acceptRestore }: Serve, log: Logger): Promise<void> {
  const stopping = interrupted();
  logWarnings(log);
  process.stdout.on("error", (error) => log.warn({ cause: describeCause(error) }, "stdout cannot be written"));
  await using stack = new AsyncDisposableStack();
  const options = configOptions({ listen, storeInMemory: source.kind === "sandbox" });
  const config = await configOf(source, options, stack);
  for (const { file, line, field, message } of config.warnings) {
    log.warn({ file, line, field, detail: message }, "the configuration has something that is likely a mistake");
  }
  log.level = config.logLevel;
  const served = stack.use(await serve({ config, log, acceptRestore, sandbox: source.kind === "sandbox" }));
  process.stdout.write(`restartd listening on ${served.url}\nconsole: ${served.url}${CONSOLE_PATH}\n`);
  log.info(
    {
      version: VERSION,
      source: source.kind,
      url: served.url,
      admin: served.adminUrl,
      store: config.store.kind === "sqlite" ? config.store.path : config.store.kind,
      ...(source.kind === "sandbox" && { try: TRY(served.url) }),
    },
    "ready",
  );
  await served.warmUp();
  growUnderLoad();
  const signal = await stopping;
  log.info({ signal }, "shutting down");
  if (!(await served.close())) {
    process.exitCode = 1;
  }
}

/** How every configuration is read. */
function configOptions(
  options: Pick<ConfigOptions<OpenTarget[], OpenAccess>, "listen" | "storeInMemory"> = {},
): ConfigOptions<OpenTarget[], OpenAccess> {
  const validator = newValidator(createRegistry(...withDependencies([file_restart_config_v1_config])));
  return {
    ...options,
    validator,
    readSections: (sections, reader) => TARGETS.map((target) => target.read(sections, reader)),
    readAccess: (sections, reader) =>
      readAccess(sections, reader, { validator, now: () => new Date(), ...permissionsOf(SERVICES) }),
    readCalendar: (sections, reader) => readCalendar(sections, reader, permissionsOf(SERVICES)),
  };
}

const OUTPUT = {
  out: (text: string) => void process.stdout.write(text),
  err: (text: string) => void process.stderr.write(text),
};

async function checkConfiguration(args: readonly string[]): Promise<void> {
  const { runCheck } = await import("./commands/check.ts");
  process.exitCode = await runCheck(args, { ...OUTPUT, load: (file) => loadConfig(file, configOptions()) });
}

async function lookAfterStore(args: readonly string[]): Promise<void> {
  const { runStore } = await import("./commands/store.ts");
  process.exitCode = await runStore(args, {
    ...OUTPUT,
    sql: () => import("./operations/store/postgres/sql.ts"),
    async verify(file) {
      const { verifyStore } = await import("./operations/store/sqlite/verify.ts");
      try {
        return await verifyStore(file);
      } catch (error) {
        if (error instanceof StoreRefused) return { wrong: error.message };
        throw error;
      }
    },
  });
}

async function makeToken(args: readonly string[]): Promise<void> {
  const { runToken } = await import("./commands/token.ts");
  process.exitCode = runToken(args, { ...OUTPUT, random: randomBytes, hash: hashOf });
}

async function askPolicy(args: readonly string[]): Promise<void> {
  const { runPolicy } = await import("./commands/policy.ts");
  const { catalog } = permissionsOf(SERVICES);
  process.exitCode = runPolicy(args, {
    ...OUTPUT,
    load(file) {
      const { access } = loadConfig(file, configOptions());
      if (access === undefined) {
        throw new UsageError(`${file} has no authorization: whoever reaches the server may do everything`);
      }
      const { authorizer } = access({
        now: () => new Date(),
        monotonic: () => performance.now(),
        warn: (message) => OUTPUT.err(`${message}\n`),
      });
      return {
        authorizer,
        unknown: (permission) => unknownPermission(catalog, permission),
        ask(principal, permission, target) {
          return authorizer.authorize({ principal, permission, target, request: emptyRequest(catalog, permission) });
        },
      };
    },
  });
}

async function configOf(
  source: Serve["source"],
  options: ConfigOptions<OpenTarget[], OpenAccess>,
  stack: AsyncDisposableStack,
): Promise<Config<OpenTarget[], OpenAccess>> {
  switch (source.kind) {
    case "config":
      return loadConfig(source.file, options);
    case "kubeconfig":
      return makeConfig((reader) => sectionsOfKubeconfig(source.file, reader), options);
    case "sandbox": {
      const { startSandbox } = await import("./sandbox/sandbox.ts");
      const { sections } = stack.use(await startSandbox(TARGETS));
      return makeConfig(() => sections, options);
    }
  }
}

/** Waits for the first SIGTERM, SIGINT or SIGHUP. A second one of the same ends the process at once. */
async function interrupted(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const [signal, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
    ["SIGHUP", 1],
  ] as const) {
    process.once(signal, () => {
      resolve(signal);
      process.once(signal, () => process.exit(128 + number));
    });
  }
  return promise;
}

/** One line of the log for what ends the process, whatever it is. */
function fatal(fields: { readonly detail?: string | undefined; readonly cause?: unknown }, msg: Message): void {
  stderr.write(`${JSON.stringify({ level: "fatal", time: new Date().toISOString(), ...fields, msg })}\n`);
}

process.once("uncaughtException", (error) => {
  fatal({ cause: describeCause(error) }, "a defect: please report it");
  void stderr.end(LAST_LINES_MS).then(() => process.exit(1));
});

try {
  await main();
} catch (error) {
  if (error instanceof UsageError) {
    stderr.write(`restartd: ${error.message}\nTry: npm start -- --help\n`);
    process.exitCode = MISTAKE;
  } else if (error instanceof ConfigError) {
    stderr.write(`${error.message}\n`);
    process.exitCode = MISTAKE;
  } else if (error instanceof StoreRefused) {
    fatal({ detail: error.message }, "cannot start");
    process.exitCode = 1;
  } else {
    const taken = (error as { code?: unknown } | null)?.code === "EADDRINUSE";
    const detail = taken
      ? "the port is taken; choose another by --listen HOST:PORT, or by admin.listen where it is that one's"
      : undefined;
    fatal({ detail, cause: describeCause(error) }, "cannot start");
    process.exitCode = 1;
  }
}
// Only by itself where nothing is left: a pipe that nobody reads would keep the process for ever.
if (!(await stderr.end(LAST_LINES_MS))) process.exit();
