import type { Validator } from "@bufbuild/protovalidate";
import type { Config } from "../../gen/restart/config/v1/config_pb.ts";
import type { NamedFile } from "../config/file.ts";
import { formatProblem } from "../core/problem.ts";
import { LOOK_EVERY_MS, watchFiles } from "../core/reload.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { quote } from "../core/show-value.ts";
import { type Authenticate, createAuthenticate } from "./authenticate.ts";
import { createTokenVerifier, readTokens, type Tokens } from "./tokens.ts";

/** What access works with while the server runs. */
export interface AccessRuntime {
  /** The wall clock. */
  readonly now: () => Date;
  /** Takes what deserves a line in the log. */
  readonly warn: (message: string) => void;
  /** How often (ms) files are looked at. Default 2,000. */
  readonly lookEveryMs?: number;
}

/** Who may do what, at work. */
export interface RunningAccess extends Disposable {
  readonly authenticate: Authenticate;
  /** Who gives out tokens that are taken, beside those of a file. */
  readonly issuers: readonly { readonly name: string; readonly issuer: string }[];
}

/** Begins to work, by what the configuration says. */
export type OpenAccess = (runtime: AccessRuntime) => RunningAccess;

/** What reading the sections takes beside them. */
export interface AccessOptions {
  /** Knows the rules that restart.config.v1 uses. */
  readonly validator: Validator;
  /** The wall clock. */
  readonly now: () => Date;
}

/**
 * Judges the sections about who may do what, and the files that they name.
 *
 * @returns undefined when nobody is asked who they are.
 */
export function readAccess(
  { authentication }: Config,
  reader: SectionReader,
  { validator, now }: AccessOptions,
): OpenAccess | undefined {
  if (authentication === undefined) return undefined;
  const file = authentication.tokens?.file ?? "";
  const named = file === "" ? undefined : { path: reader.resolve(file), file };
  const first = named && readTokens(named, validator, now());
  for (const problem of first?.problems ?? []) {
    if (problem.line !== undefined) reader.problemElsewhere(problem);
    else reader.problem(["authentication", "tokens", "file"], `${quote(file)} ${problem.message}`);
  }
  for (const warning of first?.warnings ?? []) reader.warningElsewhere(warning);
  return (runtime) => {
    const tokens = keepTokens(named, first?.tokens ?? new Map(), validator, runtime);
    const token = createTokenVerifier(tokens.current, runtime.now);
    return {
      authenticate: createAuthenticate({ token }),
      issuers: [],
      [Symbol.dispose]: () => tokens[Symbol.dispose](),
    };
  };
}

/** The tokens of a file as it is. What is wrong with it leaves those that it had. */
function keepTokens(
  named: NamedFile | undefined,
  first: Tokens,
  validator: Validator,
  { now, warn, lookEveryMs = LOOK_EVERY_MS }: AccessRuntime,
): { readonly current: () => Tokens } & Disposable {
  let tokens = first;
  const changed = (): void => {
    if (named === undefined) return;
    const read = readTokens(named, validator, now());
    if (read.problems.length === 0) tokens = read.tokens;
    else
      warn(`the tokens are those of before, for their file is wrong: ${read.problems.map(formatProblem).join("; ")}`);
  };
  const watching = named && watchFiles([named.path], { everyMs: lookEveryMs, changed });
  return { current: () => tokens, [Symbol.dispose]: () => watching?.[Symbol.dispose]() };
}
