import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { CredentialsError } from "./credentials-error.ts";

/** A user's `exec` in a kubeconfig, as far as it matters here (client.authentication.k8s.io/v1 and v1beta1). */
export interface ExecConfig {
  readonly apiVersion?: string;
  readonly command?: string;
  readonly args?: readonly string[] | null;
  readonly env?: readonly { readonly name: string; readonly value: string }[] | null;
  readonly interactiveMode?: "Never" | "IfAvailable" | "Always";
  readonly provideClusterInfo?: boolean;
}

/** What a plugin gave: a token, a client certificate with its key (PEM), or all of it. */
export interface ExecCredential {
  readonly token?: string;
  readonly clientCertificateData?: string;
  readonly clientKeyData?: string;
  readonly expirationTimestamp?: string;
}

/** Gives an exec plugin's credential, which is asked for anew once it has expired. */
export type ExecPlugin = (signal: AbortSignal) => Promise<ExecCredential>;

/** What is told of a plugin's complaints. */
const STDERR_LIMIT = 2_000;

/**
 * Makes the plugin of a user. KubeConfig has one, which waits for ever, leaves stdin open for a plugin that prompts, tells the plugin
 * nothing, and quotes what it printed, credentials too, when that is not JSON.
 *
 * @param folder what the command is relative to: the kubeconfig's.
 * @param cluster told to a plugin that wants to know it.
 * @param now the wall clock.
 */
export function createExecPlugin(
  config: ExecConfig,
  folder: string,
  cluster: Readonly<Record<string, unknown>>,
  now: () => Date,
): ExecPlugin {
  let cached: ExecCredential | undefined;
  return async (signal) => {
    const expiry = Date.parse(cached?.expirationTimestamp ?? "");
    if (cached === undefined || expiry <= now().getTime()) {
      cached = parseCredential(await run(config, folder, cluster, signal));
    }
    return cached;
  };
}

async function run(
  config: ExecConfig,
  folder: string,
  cluster: Readonly<Record<string, unknown>>,
  signal: AbortSignal,
): Promise<string> {
  const { apiVersion = "client.authentication.k8s.io/v1", command, interactiveMode, provideClusterInfo } = config;
  if (!command) {
    throw new CredentialsError("the exec plugin has no command");
  }
  if (interactiveMode === "Always") {
    throw new CredentialsError("the exec plugin wants to ask somebody (interactiveMode: Always), and nobody is here");
  }
  const spec = { interactive: false, ...(provideClusterInfo === true && { cluster }) };
  const env = {
    ...process.env,
    ...Object.fromEntries(config.env?.map(({ name, value }) => [name, value]) ?? []),
    KUBERNETES_EXEC_INFO: JSON.stringify({ apiVersion, kind: "ExecCredential", spec }),
  };
  const file = command.includes("/") ? resolve(folder, command) : command;
  const { promise, resolve: done, reject } = Promise.withResolvers<string>();
  const child = execFile(file, config.args ?? [], { env, signal, killSignal: "SIGKILL" }, (error, stdout, stderr) => {
    if (error === null) {
      done(stdout);
      return;
    }
    // Its code is an exit code or a system error's; its message and its properties hold what the plugin printed.
    const how = signal.aborted ? "took too long" : `failed with ${error.code ?? error.signal}`;
    const said = stderr.trim().slice(0, STDERR_LIMIT);
    reject(new CredentialsError(`the exec plugin ${how}${said && `; it says: ${said}`}`));
  });
  // A plugin that prompts reads the end of its input at once.
  child.stdin?.on("error", () => {}).end();
  // A child of the plugin that outlives it must not keep us waiting for the end of its output.
  signal.addEventListener("abort", () => [child.stdout, child.stderr].map((stream) => stream?.destroy()), {
    once: true,
  });
  return promise;
}

function parseCredential(output: string): ExecCredential {
  let status: ExecCredential | undefined;
  try {
    status = JSON.parse(output)?.status;
  } catch {
    throw new CredentialsError("the exec plugin printed something else than JSON"); // the error quotes it
  }
  if (!status?.token && !(status?.clientCertificateData && status.clientKeyData)) {
    throw new CredentialsError("the exec plugin gave neither a token nor a client certificate with its key");
  }
  return status;
}
