import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CredentialsError } from "../../../../src/targets/kubernetes/cluster/credentials-error.ts";
import { createExecPlugin, type ExecConfig } from "../../../../src/targets/kubernetes/cluster/exec-plugin.ts";
import { type Folder, temporaryFolder } from "../../../support/folder.ts";

let folder: Folder;
beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

let count = 0;
/** The configuration of a plugin that is a shell script. */
async function script(text: string, rest: Partial<ExecConfig> = {}): Promise<ExecConfig> {
  return plugin(await folder.write(`plugin-${++count}`, `#!/bin/sh\n${text}\n`), rest);
}
const plugin = (command: string, rest: Partial<ExecConfig> = {}): ExecConfig => ({
  apiVersion: "client.authentication.k8s.io/v1",
  command,
  args: [],
  env: [],
  provideClusterInfo: false,
  installHint: "",
  ...rest,
});
const cluster = { server: "https://k8s.test" };
const credential = (status: object) => JSON.stringify({ kind: "ExecCredential", status });
const never = () => new AbortController().signal;
const ask = (config: ExecConfig, signal = never()) =>
  createExecPlugin(
    config,
    folder.path,
    () => performance.now(),
    () => new Date(),
  )({ signal, cluster, refused: false });

async function complaint(config: ExecConfig, signal?: AbortSignal): Promise<string> {
  const error = await ask(config, signal).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CredentialsError);
  expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain("hunter2");
  return (error as CredentialsError).message.replace(/\/\S*plugin-\d+/, "PLUGIN");
}

/** Whether there is a process of this number. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

describe("createExecPlugin()", () => {
  test("gives what the plugin prints", async () => {
    const status = { token: "t", clientCertificateData: "c", clientKeyData: "k" };
    expect(await ask(await script(`echo '${credential(status)}'`))).toEqual(status);
  });

  test("tells the plugin its arguments, its environment, and what client-go tells it", async () => {
    const config = await script(
      `printf '{"status":{"token":"%s %s %s"}}' "$1" "$A" "$(echo "$KUBERNETES_EXEC_INFO" | tr -d '"')"`,
      {
        apiVersion: "client.authentication.k8s.io/v1beta1",
        args: ["first"],
        env: [{ name: "A", value: "b" }],
        provideClusterInfo: true,
      },
    );
    expect((await ask(config)).token).toBe(
      "first b {apiVersion:client.authentication.k8s.io/v1beta1,kind:ExecCredential,spec:{interactive:false,cluster:{server:https://k8s.test}}}",
    );
  });

  test("finds a relative command beside the kubeconfig, and a bare one in PATH", async () => {
    await folder.write("relative", `#!/bin/sh\necho '${credential({ token: "r" })}'`);
    expect((await ask(plugin("./relative"))).token).toBe("r");
    expect((await ask(plugin("echo", { args: [credential({ token: "e" })] }))).token).toBe("e");
  });

  test("asks again only once the credential has expired", async () => {
    const clocks = { monotonic: 0, now: Date.parse("2026-01-01T00:00:00Z") };
    const pass = (ms: number) => {
      clocks.monotonic += ms;
      clocks.now += ms;
    };
    const log = `${folder.path}/asked`;
    const config = await script(
      `echo x >> ${log}; echo "{\\"status\\":{\\"token\\":\\"t$(grep -c x ${log})\\",\\"expirationTimestamp\\":\\"2026-01-01T00:01:00Z\\"}}"`,
    );
    const give = createExecPlugin(
      config,
      folder.path,
      () => clocks.monotonic,
      () => new Date(clocks.now),
    );
    const token = async (refused = false) => (await give({ signal: never(), cluster, refused })).token;
    expect(await token()).toBe("t1");
    pass(30_000);
    clocks.now += 3_600_000; // somebody sets our clock
    expect(await token()).toBe("t1");
    pass(29_999);
    expect(await token()).toBe("t1");
    pass(1);
    expect(await token()).toBe("t2");
    // By our clock it had expired when it was given: the plugin's may be right, and it is not asked at every look.
    pass(59_999);
    expect(await token()).toBe("t2");
    pass(1);
    expect(await token()).toBe("t3");
    // What the API server has refused is not used again, whatever any clock says.
    expect(await token(true)).toBe("t4");
  });

  test("tells what a failing plugin says on stderr, and nothing that it prints", async () => {
    const config = await script("echo hunter2; echo 'no login: run x login' >&2; exit 3");
    expect(await complaint(config)).toBe("the exec plugin PLUGIN failed with 3; it says: no login: run x login");
  });

  test.each([
    ["no JSON", "echo hunter2", "the exec plugin PLUGIN printed something else than JSON"],
    ["nothing", "true", "the exec plugin PLUGIN printed something else than JSON"],
    ["no status", "echo '{}'", "the exec plugin PLUGIN gave neither a token nor a client certificate with its key"],
    ["null", "echo null", "the exec plugin PLUGIN gave neither a token nor a client certificate with its key"],
    [
      "a certificate without its key",
      `echo '${credential({ clientCertificateData: "hunter2" })}'`,
      "the exec plugin PLUGIN gave a client certificate or a key without the other",
    ],
    [
      "a token with a line end",
      `printf '%s' '${credential({ token: "hunter2\n" })}'`,
      "the exec plugin PLUGIN gave a token with a line end, a blank at an end, or a letter that no header can hold",
    ],
    [
      "an answer in another version",
      `echo '{"apiVersion":"client.authentication.k8s.io/v1beta1","status":{"token":"hunter2"}}'`,
      "the exec plugin PLUGIN answered in another apiVersion than client.authentication.k8s.io/v1, which the kubeconfig says",
    ],
  ])("complains of %s", async (_name, text, message) => {
    expect(await complaint(await script(text))).toBe(message);
  });

  test("names a command that is not there, and says how to get it", async () => {
    expect(await complaint(plugin("./nothing-here"))).toBe(
      "the exec plugin ./nothing-here cannot be run: no such file or directory",
    );
    const installHint = "apt-get install nothing-here";
    expect(await complaint(plugin("nothing-here", { installHint }))).toBe(
      `the exec plugin nothing-here is in no folder of PATH; ${installHint}`,
    );
  });

  test("does not wait for a plugin that prompts", async () => {
    const config = await script('read answer; echo "got [$answer]" >&2; exit 1');
    expect(await complaint(config)).toBe("the exec plugin PLUGIN failed with 1; it says: got []");
  });

  test.each([
    ["hangs", "exec sleep 60"],
    ["ignores SIGTERM", "trap '' TERM; while :; do sleep 1; done"],
    ["leaves a child behind that holds its output", "sleep 60 & wait"],
  ])("ends one that %s", async (_name, text) => {
    // Each would run for a minute, or for ever.
    const config = await script(`echo $$ > "$0.pid"; ${text}`);
    const pidFile = `${config.command}.pid`;
    const limit = new AbortController();
    const told = complaint(config, limit.signal);
    await expect.poll(() => readFile(pidFile, "utf8").catch(() => "")).toMatch(/^\d+\n$/);
    limit.abort();
    expect(await Promise.race([told, delay(30_000, undefined, { ref: false })])).toBe(
      "the exec plugin PLUGIN took too long",
    );
    const pid = Number(await readFile(pidFile, "utf8"));
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  test("is not begun for who has no time left", async () => {
    expect(await complaint(await script("exec sleep 60"), AbortSignal.abort())).toBe(
      "the exec plugin PLUGIN took too long",
    );
  });
});
