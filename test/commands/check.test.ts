import { readdir } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { CHECK_HELP } from "../../src/commands/check.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { runProgram } from "../support/program.ts";

/** A system that nobody is at: whoever asked it would fail. */
const SYSTEM =
  "arcgis:\n  sites:\n    - name: gis\n      admin_url: https://127.0.0.1:9/arcgis\n      username: u\n      password: { env: P }\n";

let folder: Folder;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder[Symbol.asyncDispose]());

const check = (file: string, env: Record<string, string> = {}) => runProgram(["check", "--config", file], env);

describe("restartd check", () => {
  it("exits 0 for what a server could start with, and opens nothing", async () => {
    const asked: unknown[] = [];
    const server: Server = createServer((socket) => asked.push(socket.destroy()));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    const stores = ["", "store: { sqlite: { path: own.db } }\n", "store: { postgres: { url: { env: URL } } }\n"];
    for (const [at, store] of stores.entries()) {
      const file = await folder.write(`${at}.yaml`, `${SYSTEM.replace(":9/", `:${port}/`)}${store}`);
      const env = { P: "p", URL: `postgres://u:secret@127.0.0.1:${port}/d` };
      expect(await check(file, env)).toMatchObject({ code: 0, stdout: `${file} has no mistakes\n`, stderr: "" });
    }
    server.close();
    expect(asked).toEqual([]);
    expect((await readdir(folder.path)).sort()).toEqual(["0.yaml", "1.yaml", "2.yaml"]);
  });

  it("exits 2 with every mistake, each with its place", async () => {
    const file = await folder.write("wrong.yaml", `listen: 0.0.0.0:8080\nstore: { retention: 0s }\n${SYSTEM}`);
    const { code, stdout, stderr } = await check(file);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^3 mistakes in the configuration:\n/);
    for (const place of [":1:9: listen: ", ":2:21: store.retention: ", "arcgis.sites[0].password.env: "]) {
      expect(stderr).toContain(place);
    }
  });

  it("exits 2 for an address of PostgreSQL that nobody can use, and shows nothing of it", async () => {
    const file = await folder.write("postgres.yaml", `${SYSTEM}store: { postgres: { url: { env: URL } } }\n`);
    const ca = join(folder.path, "no-ca.pem");
    const url = `postgres://u:secret@db/d?sslmode=verify-full&sslrootcert=${ca}`;
    expect(await check(file, { P: "p", URL: url })).toMatchObject({
      code: 2,
      stdout: "",
      stderr: `${file}: The address of the PostgreSQL store names ${ca}, which cannot be read (ENOENT): sslrootcert, sslcert and sslkey are paths of PEM files.\n`,
    });
  });

  it("explains itself, and what it does not understand", async () => {
    expect(await runProgram(["check", "--help"])).toMatchObject({ code: 0, stdout: CHECK_HELP, stderr: "" });
    expect(await runProgram(["check"])).toMatchObject({
      code: 2,
      stdout: "",
      stderr: "restartd check: --config FILE is missing: say which configuration\nTry: npm start -- check --help\n",
    });
    expect(await runProgram(["check", "file.yaml"])).toMatchObject({ code: 2, stdout: "" });
  });
});
