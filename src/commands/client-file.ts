import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import {
  type ClientFile,
  ClientFileSchema,
  type ClientContext as FileContext,
} from "../../gen/restart/config/v1/client_pb.ts";
import { decodeYaml } from "../config/decode.ts";
import { readYaml } from "../config/yaml.ts";
import { CommandMistake } from "../core/command.ts";
import { ConfigError, type FieldPath, formatPath, type Problem, readFailure } from "../core/problem.ts";
import { addressOf, type ClientContext, type Defaults, unempty } from "./client.ts";
import { replaceKey } from "./yaml.ts";

type Environment = ClientContext["env"];

/** The client's file, with what it says. */
export interface OpenFile {
  readonly path: string;
  readonly file: ClientFile;
}

/** Where the client's file is: not the server's, which has other keys. */
export const pathOf = (env: Environment): string =>
  unempty(env.RESTARTD_CLIENT_CONFIG) ??
  join(unempty(env.XDG_CONFIG_HOME) ?? join(unempty(env.HOME) ?? homedir(), ".config"), "restartd/client.yaml");

/**
 * Reads the client's file.
 *
 * @returns undefined when there is none, unless the environment names one.
 * @throws ConfigError with every mistake
 */
export function openFile(env: Environment): OpenFile | undefined {
  const path = pathOf(env);
  if (unempty(env.RESTARTD_CLIENT_CONFIG) === undefined && !existsSync(path)) return undefined;
  const source = readYaml(path, path);
  if (!("root" in source)) throw new ConfigError(source);
  const { message, problems, positionOf } = decodeYaml(ClientFileSchema, source);
  const found: Problem[] = [...problems];
  const report = (field: FieldPath, text: string): void => {
    const { line, column } = positionOf(field) ?? { line: undefined, column: undefined };
    const at = formatPath(field);
    if (!found.some((problem) => problem.field === at)) {
      found.push({ file: path, line, column, field: at, message: text });
    }
  };
  check(message, report);
  if (found.length > 0) throw new ConfigError(found);
  return { path, file: message };
}

function check({ contexts, currentContext }: ClientFile, report: (field: FieldPath, text: string) => void): void {
  const names = new Set<string>();
  for (const [index, { name, address, token }] of contexts.entries()) {
    const at = ["contexts", index] as const;
    if (name === "") report([...at, "name"], "must be there: what the context is called");
    else if (names.has(name)) report([...at, "name"], `${JSON.stringify(name)} stands twice`);
    names.add(name);
    if (address !== "") {
      try {
        addressOf(address);
      } catch {
        report([...at, "address"], "must be https://HOST[:PORT], or http:// for a loopback host");
      }
    }
    if (token !== undefined && (token.source.value ?? "") === "") {
      report([...at, "token"], "must be { file: PATH } or { env: NAME }");
    }
  }
  if (currentContext !== "" && !names.has(currentContext)) {
    report(["current_context"], `there is no context ${JSON.stringify(currentContext)}`);
  }
}

/**
 * The defaults of the context that a flag names, or the environment, or the file.
 *
 * @param warn told of a token that others can read.
 * @throws ConfigError, CommandMistake
 */
export function defaultsOf(flag: string | undefined, env: Environment, warn: (text: string) => void): Defaults {
  const opened = openFile(env);
  const named = flag ?? unempty(env.RESTARTD_CONTEXT);
  const name = named ?? opened?.file.currentContext ?? "";
  if (name === "") return {};
  const context = opened?.file.contexts.find((candidate) => candidate.name === name);
  if (opened === undefined || context === undefined) {
    const known = opened?.file.contexts.map((each) => each.name).join(", ") ?? "";
    throw new CommandMistake(`there is no context ${JSON.stringify(name)}${known === "" ? "" : `: use ${known}`}`);
  }
  const folder = dirname(opened.path);
  return {
    address: unempty(context.address),
    cluster: unempty(context.cluster),
    namespace: unempty(context.namespace),
    site: unempty(context.site),
    project: unempty(context.project),
    enterpriseProject: unempty(context.enterpriseProject),
    ca: context.ca === "" ? undefined : resolve(folder, context.ca),
    token: tokenOf(context, folder, env, warn),
  };
}

function tokenOf({ name, token }: FileContext, folder: string, env: Environment, warn: (text: string) => void) {
  if (token?.source.case === "env") return env[token.source.value];
  if (token?.source.case !== "file") return undefined;
  const file = resolve(folder, token.source.value);
  try {
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0) {
      warn(`Warning: others can read the token in ${file}: chmod 600 it\n`);
    }
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new CommandMistake(`the token of context ${name}, ${file}, cannot be read: ${readFailure(error)}`);
  }
}

/** Makes a context the current one: one line changes, and everything else stays as it is written. */
export function useContext({ path, file }: OpenFile, name: string): void {
  if (!file.contexts.some((context) => context.name === name)) {
    const known = file.contexts.map((each) => each.name).join(", ");
    throw new CommandMistake(`there is no context ${JSON.stringify(name)}: use ${known}`);
  }
  const text = replaceKey(readFileSync(path, "utf8"), "current_context", name);
  const partial = `${path}.partial`;
  writeFileSync(partial, text, { mode: statSync(path).mode });
  renameSync(partial, path);
}
