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
async function script(text: string, rest: ExecConfig = {}): Promise<ExecConfig> {
  return { command: await folder.write(`plugin-${++count}`, `#!/bin/sh\n${text}\n`), ...rest };
}
const credential = (status: object) => JSON.stringify({ kind: "ExecCredential", status });
const never = () => new AbortController().signal;
const ask = (config: ExecConfig, signal = never()) =>
  createExecPlugin(config, folder.path, { server: "https://k8s.test" }, () => new Date())(signal);

async function complaint(config: ExecConfig, signal?: AbortSignal): Promise<string> {
  const error = await ask(config, signal).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CredentialsError);
  expect(inspect(error, { depth: Number.POSITIVE_INFINITY, showHidden: true })).not.toContain("hunter2");
  return (error as CredentialsError).message;
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
    expect((await ask({ command: "./relative" })).token).toBe("r");
    expect((await ask({ command: "echo", args: [credential({ token: "e" })] })).token).toBe("e");
  });

  test("asks again only once the credential has expired", async () => {
    let now = Date.parse("2026-01-01T00:00:00Z");
    const log = `${folder.path}/asked`;
    const config = await script(
      `echo x >> ${log}; echo "{\\"status\\":{\\"token\\":\\"t$(grep -c x ${log})\\",\\"expirationTimestamp\\":\\"2026-01-01T00:01:00Z\\"}}"`,
    );
    const plugin = createExecPlugin(config, folder.path, {}, () => new Date(now));
    expect((await plugin(never())).token).toBe("t1");
    now += 59_999;
    expect((await plugin(never())).token).toBe("t1");
    now += 1;
    expect((await plugin(never())).token).toBe("t2");
  });

  test("tells what a failing plugin says on stderr, and nothing that it prints", async () => {
    const config = await script("echo hunter2; echo 'no login: run x login' >&2; exit 3");
    expect(await complaint(config)).toBe("the exec plugin failed with 3; it says: no login: run x login");
  });

  test.each([
    ["no JSON", "echo hunter2", "the exec plugin printed something else than JSON"],
    ["nothing", "true", "the exec plugin printed something else than JSON"],
    ["no status", "echo '{}'", "the exec plugin gave neither a token nor a client certificate with its key"],
    ["null", "echo null", "the exec plugin gave neither a token nor a client certificate with its key"],
    [
      "a certificate without its key",
      `echo '${credential({ clientCertificateData: "hunter2" })}'`,
      "the exec plugin gave neither a token nor a client certificate with its key",
    ],
  ])("complains of %s", async (_name, text, message) => {
    expect(await complaint(await script(text))).toBe(message);
  });

  test("complains of a command that is not there, or missing", async () => {
    expect(await complaint({ command: "./nothing-here" })).toBe("the exec plugin failed with ENOENT");
    expect(await complaint({})).toBe("the exec plugin has no command");
  });

  test("does not wait for a plugin that prompts", async () => {
    const config = await script('read answer; echo "got [$answer]" >&2; exit 1');
    expect(await complaint(config)).toBe("the exec plugin failed with 1; it says: got []");
    expect(await complaint({ ...config, interactiveMode: "Always" })).toBe(
      "the exec plugin wants to ask somebody (interactiveMode: Always), and nobody is here",
    );
  });

  test.each([
    ["hangs", "exec sleep 60"],
    ["ignores SIGTERM", "trap '' TERM; while :; do sleep 1; done"],
    ["leaves a child behind that holds its output", "sleep 60 & wait"],
  ])("ends one that %s", async (_name, text) => {
    const before = performance.now();
    expect(await complaint(await script(text), AbortSignal.timeout(200))).toBe("the exec plugin took too long");
    expect(performance.now() - before).toBeLessThan(1_000);
  });
});
