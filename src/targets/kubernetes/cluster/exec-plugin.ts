import { execFile } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, resolve } from "node:path";
import { readFailure } from "../../../core/problem.ts";
import { CredentialsError } from "./credentials-error.ts";
import { isHeaderValue } from "./header-value.ts";

/** A user's `exec` in a kubeconfig (client.authentication.k8s.io/v1 and v1beta1). */
export interface ExecConfig {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly provideClusterInfo: boolean;
  /** What an operator is told who does not have the command. May be empty. */
  readonly installHint: string;
}

/** What a plugin gave: a token, a client certificate with its key (PEM), or all of it. */
export interface ExecCredential {
  readonly token?: string;
  readonly clientCertificateData?: string;
  readonly clientKeyData?: string;
  readonly expirationTimestamp?: string;
}

/** What a plugin is asked with. */
export interface ExecRequest {
  readonly signal: AbortSignal;
  /** As client.authentication.k8s.io's Cluster: told to a plugin that wants to know it. */
  readonly cluster: Readonly<Record<string, unknown>>;
  /** The API server refused what the plugin gave last: that is not used again. */
  readonly refused: boolean;
}

/** Gives an exec plugin's credential, which is asked for anew once it has expired. */
export type ExecPlugin = (request: ExecRequest) => Promise<ExecCredential>;

/** What is told of a plugin's complaints. */
const STDERR_LIMIT = 2_000;

/**
 * For how long (ms) a credential is used that had expired by our clock when it was given: another machine's clock has made its time of
 * expiry. The API server refuses one that really has expired, and then the plugin is asked again.
 */
const DOUBTFUL_USE_MS = 60_000;

/**
 * Makes the plugin of a user.
 *
 * @param folder what the command is relative to: the kubeconfig's.
 * @param monotonic a clock in milliseconds that never goes back.
 * @param now the wall clock.
 */
export function createExecPlugin(
  config: ExecConfig,
  folder: string,
  monotonic: () => number,
  now: () => Date,
): ExecPlugin {
  let cached: { readonly credential: ExecCredential; readonly usableUntil: number } | undefined;
  return async (request) => {
    if (cached === undefined || monotonic() >= cached.usableUntil || request.refused) {
      cached = undefined;
      const credential = parseCredential(await run(config, folder, request), config);
      const left = Date.parse(credential.expirationTimestamp ?? "") - now().getTime();
      const use = Number.isNaN(left) ? Number.POSITIVE_INFINITY : left > 0 ? left : DOUBTFUL_USE_MS;
      cached = { credential, usableUntil: monotonic() + use };
    }
    return cached.credential;
  };
}

async function run(config: ExecConfig, folder: string, { signal, cluster }: ExecRequest): Promise<string> {
  const { apiVersion, command, installHint } = config;
  const name = `the exec plugin ${command}`;
  const found = commandOf(command, folder, process.env);
  if (found.wrong !== undefined) {
    throw new CredentialsError(`${name} ${found.wrong}${installHint && `; ${installHint}`}`);
  }
  const spec = { interactive: false, ...(config.provideClusterInfo && { cluster }) };
  const env = {
    ...process.env,
    ...Object.fromEntries(config.env.map((variable) => [variable.name, variable.value])),
    KUBERNETES_EXEC_INFO: JSON.stringify({ apiVersion, kind: "ExecCredential", spec }),
  };
  const late = `${name} took too long`;
  if (signal.aborted) {
    throw new CredentialsError(late);
  }
  const { promise, resolve: done, reject } = Promise.withResolvers<string>();
  const child = execFile(found.path, config.args, { env }, (error, stdout, stderr) => {
    signal.removeEventListener("abort", end);
    if (error === null) {
      done(stdout);
      return;
    }
    // Its code is an exit code or a system error's; its message and its properties hold what the plugin printed.
    const what = signal.aborted ? late : `${name} failed with ${error.code ?? error.signal}`;
    const output = stderr.trim().slice(0, STDERR_LIMIT);
    reject(new CredentialsError(`${what}${output && `; it says: ${output}`}`));
  });
  // A plugin that prompts reads the end of its input at once.
  child.stdin?.on("error", () => {}).end();
  // execFile's own signal ends it by SIGTERM whatever its killSignal says, and a plugin may ignore that.
  const end = (): void => {
    child.kill("SIGKILL");
    // A child of the plugin that outlives it must not keep us waiting for the end of its output.
    for (const stream of [child.stdout, child.stderr]) stream?.destroy();
  };
  signal.addEventListener("abort", end, { once: true });
  return promise;
}

/** Judges what a plugin printed. No error quotes it. */
function parseCredential(output: string, { command, apiVersion }: ExecConfig): ExecCredential {
  const wrong = (what: string): CredentialsError => new CredentialsError(`the exec plugin ${command} ${what}`);
  let printed: { readonly apiVersion?: unknown; readonly status?: ExecCredential } | undefined;
  try {
    printed = JSON.parse(output);
  } catch {
    throw wrong("printed something else than JSON");
  }
  if (printed?.apiVersion !== undefined && printed.apiVersion !== apiVersion) {
    throw wrong(`answered in another apiVersion than ${apiVersion}, which the kubeconfig says`);
  }
  const { token, clientCertificateData, clientKeyData } = printed?.status ?? {};
  if (!token && !clientCertificateData && !clientKeyData) {
    throw wrong("gave neither a token nor a client certificate with its key");
  }
  if (!clientCertificateData !== !clientKeyData) {
    throw wrong("gave a client certificate or a key without the other");
  }
  if (token && !isHeaderValue(token)) {
    throw wrong("gave a token with a line end, a blank at an end, or a letter that no header can hold");
  }
  return printed?.status ?? {};
}

/**
 * The program of a command: beside the kubeconfig where it has a slash in it, else in $PATH.
 *
 * @returns its path, and why it cannot be run.
 */
export function commandOf(
  command: string,
  folder: string,
  environment: Readonly<Record<string, string | undefined>>,
): { readonly path: string; readonly wrong: string | undefined } {
  const folders = /[/\\]/.test(command) ? [folder] : (environment.PATH ?? "").split(delimiter).filter(Boolean);
  const endings = process.platform === "win32" ? ["", ...(environment.PATHEXT ?? ".EXE;.CMD").split(";")] : [""];
  let wrong = "is in no folder of PATH";
  for (const each of folders) {
    for (const ending of endings) {
      const path = resolve(each, command + ending);
      try {
        accessSync(path, constants.X_OK);
        if (statSync(path).isFile()) return { path, wrong: undefined };
      } catch (error) {
        if (folders.length === 1) wrong = `cannot be run: ${readFailure(error)}`;
      }
    }
  }
  return { path: command, wrong };
}
