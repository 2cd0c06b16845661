import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildClientPackage } from "../../scripts/client-package.ts";
import { ROOT } from "../support/command.ts";
import { type Program, startProgram } from "../support/program.ts";

let folder: string;
let sandbox: Program;
const snippet =
  /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, "clients/typescript/README.md"), "utf8"))?.[1] ?? "";

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "restartd-client-"));
  const place = join(folder, "node_modules/@restartd/client");
  buildClientPackage(place);
  // Its peers, and nothing else of this project.
  for (const name of [
    "@bufbuild/protobuf",
    "@connectrpc/connect",
    "@connectrpc/connect-node",
    "@types/node",
    "undici-types",
  ]) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    cpSync(join(ROOT, "node_modules", name), link, { recursive: true });
  }
  writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  sandbox = await startProgram();
});
afterAll(async () => {
  await sandbox?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe("@restartd/client", () => {
  it("restarts and waits as its README says, types included", () => {
    const script = snippet.replace("http://127.0.0.1:8080", sandbox.url);
    expect(script).toContain(sandbox.url);
    writeFileSync(join(folder, "example.ts"), `${script}\nexport {};\n`);
    const options = [
      "--module",
      "nodenext",
      "--target",
      "es2024",
      "--strict",
      "--types",
      "node",
      "--skipLibCheck",
      "--outDir",
      "out",
    ];
    execFileSync(join(ROOT, "node_modules/.bin/tsc"), [...options, "example.ts"], {
      cwd: folder,
      stdio: ["ignore", 2, 2],
    });
    const said = execFileSync(process.execPath, ["out/example.js"], { cwd: folder, encoding: "utf8" });
    expect(said).toContain("done: true");
    expect(said).toContain("google.protobuf.Empty");
  });

  it("tells restartd's failures from others, and has everything that is ours", async () => {
    const script = `
      import { createClient } from "@connectrpc/connect";
      import { createGrpcTransport } from "@connectrpc/connect-node";
      import * as all from "@restartd/client";
      const transport = createGrpcTransport({ baseUrl: ${JSON.stringify(sandbox.url)} });
      const target = { cluster: "sandbox", group: "apps", version: "v1", resource: "deployments", namespace: "shop", name: "checkout" };
      const refused = await createClient(all.WorkloadService, transport).restart(target).catch(all.errorOf);
      const services = Object.values(all).filter((one) => one?.kind === "service").map(({ typeName }) => typeName).sort();
      const messages = Object.keys(all.dcs).includes("RestartInstancesRequestSchema");
      const other = all.errorOf(new Error("socket hang up"));
      console.log(JSON.stringify({ refused, services, messages, other: other ?? null, ids: new Set([all.newRequestId(), all.newRequestId()]).size }));
      process.exit(0);`;
    const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
      cwd: folder,
      encoding: "utf8",
    });
    const { services, ...rest } = JSON.parse(said) as { services: string[] };
    expect(rest).toEqual({
      refused: { reason: "PAUSED", outcome: "not_applied", metadata: { cluster: "sandbox" } },
      messages: true,
      other: null,
      ids: 2,
    });
    const listed = execFileSync(join(ROOT, "node_modules/.bin/buf"), ["curl", "--list-services", sandbox.url], {
      encoding: "utf8",
    });
    const served = listed
      .trim()
      .split("\n")
      .filter((name) => /^(restart|google\.longrunning|grpc\.health)\./.test(name));
    expect(services).toEqual([...new Set(served)].sort());
  });
});
