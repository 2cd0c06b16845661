import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { hashOf } from "../../src/access/tokens.ts";
import { conformanceProtos } from "../cluster/modules.ts";
import { NODE, run } from "../support/command.ts";
import { temporaryFolder } from "../support/folder.ts";
import { heldLog } from "../support/log.ts";
import { readSchema } from "./protocol/schema.ts";
import { listenForRunner } from "./protocol/server.ts";
import { need, tools } from "./tools.ts";

const tool = need("connectconformance");

const HERE = join(import.meta.dirname, "protocol");
const TOKEN = "rsd_runner";

/** So many cases are asked of a server like ours by this version of the suite; fewer would mean that runner.yaml leaves some out. */
const CASES = 3620;
const CANNOT = 44;

const RULE = {
  name: "runner",
  principals: ["token:runner"],
  permissions: ["conformance.*"],
  targets: ["conformance/*"],
};

/** Lets the suite's runner loose on the server, or on a server that it may not call. */
async function conformance(
  flags: readonly string[],
  { token = TOKEN, rules = [RULE] }: { readonly token?: string; readonly rules?: readonly object[] } = {},
) {
  await using folder = await temporaryFolder();
  const schema = join(folder.path, "schema.binpb");
  const built = await run(tools.buf(), ["build", conformanceProtos(), "-o", schema]);
  expect(built, built.stderr).toMatchObject({ code: 0 });
  await folder.write("tokens.yaml", stringify([{ name: "runner", sha256: hashOf(TOKEN) }]));
  await folder.write("policy.yaml", stringify({ rules }));
  const log: string[] = [];
  const socket = join(folder.path, "runner.sock");
  const registry = readSchema(await readFile(schema));
  await using _host = await listenForRunner(socket, {
    registry,
    folder: folder.path,
    token,
    log: heldLog("error", (_, text) => void log.push(text)),
  });
  const options = ["--mode", "server", "--conf", join(HERE, "runner.yaml"), "--max-servers", "2", "--parallel", "4"];
  const command = [NODE, join(HERE, "forward.ts"), socket];
  const { code, stdout, stderr } = await run(tool.path, [...options, ...flags, "--", ...command], {
    timeoutMs: 540_000,
  });
  return { code, said: stdout + stderr, log };
}

describe.skipIf(tool.missing)("the Connect conformance suite", () => {
  // Some cases have two seconds to be answered in, which a machine that does other things as well can miss. No defect passes twice.
  it("passes, of Connect, gRPC and gRPC-Web over HTTP/1.1 and HTTP/2", { timeout: 1_200_000, retry: 1 }, async () => {
    const { code, said, log } = await conformance(["--known-failing", `@${join(HERE, "cannot.txt")}`]);
    expect(code, said).toBe(0);
    expect(said).toContain(
      `Total cases: ${CASES}\n${CASES - CANNOT} passed, 0 failed\n(Another ${CANNOT} failed as expected`,
    );
    expect(log).toEqual([]); // no defect of the server
  });

  // The negative controls: that the suite's calls are let through because they may be made, and not because nobody asks.
  it.each([
    ["whom no rule lets in", { rules: [] }, "token:runner may not conformance.calls.make"],
    ["whose token is another's", { token: "rsd_other" }, "CODE_UNAUTHENTICATED"],
  ])("fails for a runner %s", { timeout: 240_000 }, async (_, without, says) => {
    const one = ["--run", "Basic/HTTPVersion:2/Protocol:PROTOCOL_GRPC/Codec:CODEC_PROTO/**/TLS:true/unary/success"];
    const { code, said } = await conformance(one, without);
    expect(code).toBe(1);
    expect(said).toContain(says);
    expect(said).toContain("\n0 passed, ");
  });
});
