import { createHash } from "node:crypto";
import { dirname, resolve } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type { Validator } from "@bufbuild/protovalidate";
import { LogSchema } from "../gen/restart/config/v1/admin_pb.ts";
import { ConfigSchema, type Deadline, type Config as Sections } from "../gen/restart/config/v1/config_pb.ts";
import { type Decoded, decodeYaml } from "./config/decode.ts";
import { readLimits, type ShareSettings } from "./config/limits.ts";
import { readNetwork } from "./config/network.ts";
import { createReport, type Origin, type Report } from "./config/report.ts";
import { readStore, type StoreSettings } from "./config/store.ts";
import { readTelemetry, type TraceSettings } from "./config/telemetry.ts";
import type { TlsSettings } from "./config/tls.ts";
import { brokenRules, knownBroken } from "./config/violations.ts";
import { readYaml } from "./config/yaml.ts";
import type { Calendar } from "./core/freeze.ts";
import { ConfigError, type Problem } from "./core/problem.ts";
import type { ReadSections, SectionReader } from "./core/section-reader.ts";

/** What the server works with. */
export interface Config<Settings, Access = undefined> {
  /** Where to listen: a host without brackets, and a port (0: any free one). */
  readonly listen: { readonly host: string; readonly port: number };
  /** How connections are encrypted; undefined: they are not. */
  readonly tls: TlsSettings | undefined;
  /** Names that callers may use for the server; empty: those of loopback. */
  readonly hosts: readonly string[];
  /** How much each caller may ask for. */
  readonly shares: ShareSettings;
  /** Origins whose web pages may call, as browsers send them. */
  readonly allowedOrigins: readonly string[];
  /** How long a unary call may take, in ms: when its caller sets no deadline, and at most. */
  readonly deadline: { readonly defaultMs: number; readonly maxMs: number };
  /** Where operations are kept, and for how long. */
  readonly store: StoreSettings;
  /** Where probes and metrics are served: a host without brackets, and a port; undefined: nowhere. */
  readonly admin:
    | { readonly host: string; readonly port: number; readonly allowedHosts: readonly string[] }
    | undefined;
  /** After SIGTERM calls are still taken for `delayMs`, and have `limitMs` to end then. */
  readonly drain: { readonly delayMs: number; readonly limitMs: number };
  /** The least important level that is logged. */
  readonly logLevel: string;
  /** Where traces go; undefined: there are none. */
  readonly traces: TraceSettings | undefined;
  /** SHA-256 of the file's bytes, in hex; empty without a file. */
  readonly sha256: string;
  /** What the targets made of their sections. */
  readonly targets: Settings;
  /** Which sections name systems. */
  readonly systems: readonly string[];
  /** What was made of the sections about who may do what; undefined when nobody is asked who they are. */
  readonly access: Access | undefined;
  /** The freezes of the section. */
  readonly calendar: Calendar;
  /** What deserves a line in the log, though it is no mistake. */
  readonly warnings: readonly Problem[];
}

/** What reading a configuration takes. */
export interface ConfigOptions<Settings, Access = undefined> {
  /** Knows the rules that restart.config.v1 uses: its registry has restart.kubernetes.v1's. Shared, since its first use is slow. */
  readonly validator: Validator;
  /** Reads the sections of all targets. */
  readonly readSections: ReadSections<Sections, Settings>;
  /** Reads the sections about who may do what. Default: nobody is asked who they are. */
  readonly readAccess?: ReadSections<Sections, Access | undefined>;
  /** The wall clock, in epoch ms. Default: the machine's. */
  readonly now?: () => number;
  /** Reads the section about freezes. Default: there are none. */
  readonly readCalendar?: ReadSections<Sections, Calendar>;
  /** HOST:PORT out of the command line: stands in for `listen`. */
  readonly listen?: string | undefined;
  /** Whether operations are kept in memory when no section says where. Default: in a file beside the configuration's. */
  readonly storeInMemory?: boolean | undefined;
}

/** Sections that name systems: the schema's rule `config.target` wants one of them. */
const SYSTEMS = ["kubernetes", "arcgis", "huaweicloud"] as const satisfies (keyof Sections)[];

/** How long calls under way may take after SIGTERM when the configuration does not say; the schema's comment names it too. */
const DRAIN_LIMIT_MS = 30_000;

type Mistakes = Pick<Decoded<typeof ConfigSchema>, "problems" | "unreadable">;

const NO_MISTAKES: Mistakes = { problems: [], unreadable: new Set() };

/** How long a unary call may take when the configuration does not say. The schema's comments and rules name these too. */
const DEADLINE_MS = { default: 60_000, max: 600_000 };

/**
 * Reads a configuration file.
 *
 * @param file its path, also what messages call it.
 * @throws ConfigError with every mistake: of syntax alone where there is one, since nothing else can be judged then.
 */
export function loadConfig<Settings, Access = undefined>(
  file: string,
  options: ConfigOptions<Settings, Access>,
): Config<Settings, Access> {
  const source = readYaml(file, file);
  if (!("root" in source)) throw new ConfigError(source);
  const decoded = decodeYaml(ConfigSchema, source);
  const origin: Origin = { file, folder: dirname(resolve(file)), positionOf: decoded.positionOf };
  return {
    ...finish(decoded.message, origin, decoded, options),
    sha256: createHash("sha256").update(source.bytes).digest("hex"),
  };
}

/**
 * Makes the configuration that no file says: the sandbox's, or that of `--kubeconfig FILE`. It is judged like a file.
 *
 * @param make returns the sections; relative paths are relative to the working directory.
 * @throws ConfigError with every mistake.
 */
export function makeConfig<Settings, Access = undefined>(
  make: (reader: SectionReader) => MessageInitShape<typeof ConfigSchema>,
  options: ConfigOptions<Settings, Access>,
): Config<Settings, Access> {
  const origin: Origin = { file: undefined, folder: process.cwd(), positionOf: () => undefined };
  const making = createReport(origin, [], NO_MISTAKES.unreadable);
  const sections = create(ConfigSchema, make(making.reader));
  if (making.problems.length > 0) throw new ConfigError(making.problems);
  const config = finish(sections, origin, NO_MISTAKES, options);
  return { ...config, warnings: [...making.warnings, ...config.warnings] };
}

function finish<Settings, Access>(
  sections: Sections,
  origin: Origin,
  mistakes: Mistakes,
  {
    validator,
    readSections,
    readAccess,
    readCalendar,
    now = Date.now,
    listen,
    storeInMemory,
  }: ConfigOptions<Settings, Access>,
): Config<Settings, Access> {
  if (listen !== undefined) sections.listen = listen;
  const report = createReport(origin, mistakes.problems, mistakes.unreadable);
  reportBroken(validator, sections, mistakes.unreadable, report, listen !== undefined);
  const store = readStore(sections.store, report.reader, { inMemory: storeInMemory });
  const targets = readSections(sections, report.reader);
  const access = readAccess?.(sections, report.reader);
  const place = address(sections.listen);
  const network = readNetwork(sections, report.reader, {
    now,
    host: place.host,
    listenProblem: (message) => listenProblem(report, listen !== undefined, `${message}, but is "${sections.listen}"`),
  });
  const traces = readTelemetry(sections.telemetry, report.reader);
  const calendar = readCalendar?.(sections, report.reader) ?? [];
  if (store === undefined || report.problems.length > 0) throw new ConfigError(report.problems);
  return {
    listen: place,
    ...network,
    shares: readLimits(sections.limits),
    allowedOrigins: sections.cors?.allowedOrigins ?? [],
    deadline: deadlines(sections.deadline),
    store,
    admin: sections.admin && { ...address(sections.admin.listen), allowedHosts: sections.admin.allowedHosts },
    drain: {
      delayMs: sections.drain?.delay === undefined ? 0 : durationMs(sections.drain.delay),
      limitMs: sections.drain?.limit === undefined ? DRAIN_LIMIT_MS : durationMs(sections.drain.limit),
    },
    logLevel: (sections.log ?? create(LogSchema)).level,
    traces,
    sha256: "",
    targets,
    systems: SYSTEMS.filter((name) => sections[name] !== undefined),
    access,
    calendar,
    warnings: report.warnings,
  };
}

/** Reports the rules that the sections break, except those about something that could not be read. */
function reportBroken(
  validator: Validator,
  sections: Sections,
  unreadable: ReadonlySet<string>,
  report: Report,
  listenIsArgument: boolean,
): void {
  for (const { path, message } of knownBroken(brokenRules(validator, ConfigSchema, sections), unreadable)) {
    if (path[0] === "listen") listenProblem(report, listenIsArgument, message);
    else report.reader.problem(path, message);
  }
}

/** Reports a mistake in where it listens: of several, the first. */
function listenProblem({ problems, reader }: Report, isArgument: boolean, message: string): void {
  if (!isArgument) reader.problem(["listen"], message);
  else if (!problems.some(({ field }) => field === "--listen")) {
    problems.push({ file: undefined, line: undefined, column: undefined, field: "--listen", message });
  }
}

function address(listen: string): Config<unknown>["listen"] {
  const colon = listen.lastIndexOf(":");
  const host = listen.slice(0, colon).replace(/^\[(.*)\]$/, "$1");
  return { host: host === "" ? "127.0.0.1" : host, port: Number(listen.slice(colon + 1)) };
}

function deadlines(deadline: Deadline | undefined): Config<unknown>["deadline"] {
  const maxMs = deadline?.max === undefined ? DEADLINE_MS.max : durationMs(deadline.max);
  const defaultMs =
    deadline?.default === undefined ? Math.min(DEADLINE_MS.default, maxMs) : durationMs(deadline.default);
  return { defaultMs, maxMs };
}
