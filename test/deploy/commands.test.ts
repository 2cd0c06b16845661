import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { openSqliteStore } from "../../src/operations/store/sqlite/open.ts";
import { record } from "../operations/records.ts";
import { ROOT, run } from "../support/command.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";
import { runProgram, startProgram } from "../support/program.ts";

const textOf = (page: string): string => readFileSync(join(ROOT, "docs/operations", page), "utf8");

const WEB = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const over = (baseUrl: string) => createConnectTransport({ baseUrl, httpVersion: "1.1" });

const countOperations = async (url: string): Promise<number> =>
  (await createClient(Operations, over(url)).listOperations({})).operations.length;

it("backup.md: a copy is made, verified and restored, and its start is refused until that is accepted, once", async () => {
  const [backup = "", verify = "", restore = "", start = "", ...others] = [
    ...textOf("backup.md").matchAll(/```sh\n([\s\S]*?)```/g),
  ].map(([, command = ""]) => command.trim());
  expect(others).toEqual([expect.stringMatching(/^kubectl /)]); // test/cluster/chart.test.ts
  await using configured = await startConfigured();
  const { file, program } = configured;
  const folder = dirname(file);
  const shell = (command: string) =>
    run(
      "sh",
      ["-c", command.replaceAll(/(?<=\s)copy\.db/g, join(folder, "copy.db")).replaceAll("/var/lib/restartd", folder)],
      {
        env: { RESTARTD_ADDRESS: program.url },
      },
    );
  const client = createClient(WorkloadService, over(program.url));
  await client.restart(WEB);
  expect(await shell(backup)).toMatchObject({ code: 0 });
  expect(await shell(verify)).toMatchObject({ code: 0, stdout: expect.stringContaining("1 operation") });
  await client.restart({ ...WEB, resource: "statefulsets", name: "db" });
  expect(await countOperations(program.url)).toBe(2);
  // As after a power cut: what SQLite keeps beside the store is still there.
  await program.stop("SIGKILL");
  expect(existsSync(join(folder, "restartd.db-wal"))).toBe(true);
  expect(await shell(restore)).toMatchObject({ code: 0 });

  const refused = await runProgram(["--config", file]);
  expect(refused.code).toBe(1);
  expect(JSON.parse(refused.stderr)).toMatchObject({
    level: "fatal",
    msg: "cannot start",
    detail: expect.stringMatching(/a copy from before the last start, .* start once with --accept-restore\.$/),
  });
  const [, args = ""] = /^node src\/main\.ts (.*)$/.exec(start) ?? [];
  {
    await using accepted = await startProgram(args.replace("/etc/restartd/restartd.yaml", file).split(" "));
    expect(await countOperations(accepted.url)).toBe(1);
    expect(await accepted.stop()).toBe(0);
  }
  await using next = await startProgram(["--config", file]);
  expect(await countOperations(next.url)).toBe(1);
});

it("runbook.md: its commands find an operation that is UNRESOLVED, and end the doubt", async () => {
  await using folder = await temporaryFolder();
  const kubeconfig = await folder.kubeconfig({ server: "https://127.0.0.1:1" }, { token: "tok" });
  const path = join(folder.path, "restartd.db");
  const doubtful = record({ state: "UNRESOLVED", endTime: Date.now() });
  {
    await using store = await openSqliteStore({ path, replica: "r", now: () => new Date(), warn: () => {} });
    await store.insert([doubtful], { event: "accepted" });
  }
  const config = JSON.stringify({
    listen: "127.0.0.1:0",
    store: { sqlite: { path } },
    kubernetes: { clusters: [{ name: "only", kubeconfig }] },
  });
  await using program = await startProgram(["--config", await folder.write("restartd.yaml", config)]);
  const commands = [...textOf("runbook.md").matchAll(/`restartd (operations [^`]+)`/g)].map(
    ([, command = ""]) => command,
  );
  expect(commands.length).toBeGreaterThan(3);
  const said: string[] = [];
  for (const command of commands) {
    const line = command.replace("NAME", doubtful.name).replace("FILE", join(folder.path, "copy.db"));
    const done = await run("sh", ["-c", `npx restartd ${line}`], { env: { RESTARTD_ADDRESS: program.url } });
    expect(done, command).toMatchObject({ code: 0 });
    said.push(done.stdout);
  }
  expect(said[0]).toContain(doubtful.name.replace("operations/", ""));
  expect(said[2]).toMatch(/state: +SUCCEEDED\noutcome: +applied/);
});
