import { writeFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { expect, it } from "vitest";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { Auth_Kind, ServerSchema, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { hashOf } from "../../src/access/tokens.ts";
import { VERSION } from "../../src/core/version.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";

const WEB = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );

it("serves holders of tokens, whose operations are theirs, and reads the file again when it changes", async () => {
  await using folder = await temporaryFolder();
  const line = (token: string) => `- { name: nightly, sha256: ${hashOf(token)} }\n`;
  const file = await folder.write("tokens.yaml", line("rsd_first"));
  await using configured = await startConfigured({ authentication: { tokens: { file } } });
  const transport = createConnectTransport({ baseUrl: configured.program.url, httpVersion: "1.1" });
  const as = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
  const workloads = createClient(WorkloadService, transport);
  const operations = createClient(Operations, transport);

  const about = createClient(ServerService, transport);
  expect(await about.getServer({})).toEqual(create(ServerSchema, { auth: { kind: Auth_Kind.BEARER } }));
  expect(await about.getServer({}, as("rsd_first"))).toMatchObject({
    version: VERSION,
    principal: "token:nightly",
    auth: { kind: Auth_Kind.BEARER },
  });
  expect(await codeOf(about.getServer({}, as("rsd_none")))).toBe(Code.Unauthenticated);
  expect(await codeOf(workloads.restart(WEB))).toBe(Code.Unauthenticated);
  expect(configured.patches()).toBe(0);
  const requestId = "6f0a4c1e-9f0b-4a55-8a0e-0d7b5c1f2e11";
  await workloads.restart({ ...WEB, requestId }, as("rsd_first"));
  const mine = { filter: 'principal = "token:nightly"' };
  expect((await operations.listOperations(mine, as("rsd_first"))).operations).toHaveLength(1);

  // A file that is wrong leaves the tokens of before, and says so.
  await writeFile(file, `${line("rsd_second")}- { name: "" }\n`);
  await configured.program.line(({ msg }) => /tokens are those of before.*\[1\]\.name: must be set/.test(String(msg)));
  expect(await codeOf(workloads.listClusters({}, as("rsd_second")))).toBe(Code.Unauthenticated);

  await writeFile(file, line("rsd_second"));
  await expect
    .poll(() => codeOf(workloads.listClusters({}, as("rsd_second"))), { timeout: 20_000, interval: 100 })
    .toBeUndefined();
  expect(await codeOf(workloads.listClusters({}, as("rsd_first")))).toBe(Code.Unauthenticated);

  // The same name is the same caller: its request ids outlive the rotation.
  await workloads.restart({ ...WEB, requestId }, as("rsd_second"));
  expect(configured.patches()).toBe(1);
});
