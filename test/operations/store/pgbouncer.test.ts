import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { chownSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openPostgresStore } from "../../../src/operations/store/postgres/open.ts";
import { freePorts } from "../../cluster/ports.ts";
import { need } from "../../e2e/tools.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { postgresMissing, startPostgres, unprivileged } from "../../support/postgres.ts";
import { record } from "../records.ts";

const pgbouncer = need("pgbouncer");

describe.skipIf(postgresMissing() || pgbouncer.missing)("pgbouncer", () => {
  const open = (url: string) =>
    openPostgresStore({ url: () => url, replica: randomUUID(), now: () => new Date(), warn: () => undefined });

  /** A pooler in front of a server; answers its port. */
  async function startPooler(folder: string, server: number, mode: string) {
    const user = unprivileged();
    const [port = 0] = await freePorts(1);
    const config = join(folder, "pgbouncer.ini");
    await writeFile(join(folder, "users.txt"), '"postgres" ""\n');
    await writeFile(
      config,
      `[databases]\n* = host=127.0.0.1 port=${server}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\nunix_socket_dir =\nauth_type = trust\nauth_file = ${folder}/users.txt\npool_mode = ${mode}\n`,
    );
    if (user !== undefined) chownSync(folder, user.uid, user.gid);
    const child = spawn(pgbouncer.path, [config], { ...user, stdio: "ignore" });
    const ended = once(child, "exit");
    const answers = () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, "127.0.0.1", () => resolve(true)).on("error", () => resolve(false));
        socket.once("connect", () => socket.destroy());
      });
    await expect.poll(answers).toBe(true);
    return {
      port,
      [Symbol.asyncDispose]: async () => {
        child.kill("SIGKILL");
        await ended;
      },
    };
  }

  it("is refused in transaction mode, and works in session mode", async () => {
    await using server = await startPostgres();
    for (const mode of ["transaction", "session"]) {
      await using folder = await temporaryFolder();
      await using pooler = await startPooler(folder.path, server.port, mode);
      const url = server.through(server.url, pooler.port);
      if (mode === "transaction") {
        await expect(open(url)).rejects.toThrow("a pooler that gives each transaction another connection");
        continue;
      }
      await using store = await open(url);
      const one = record();
      await store.insert([one], { event: "accepted" });
      expect(await store.get(one.name)).toEqual(one);
    }
  });
});
