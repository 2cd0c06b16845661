/**
 * `node bench/floor.ts KUBECONFIG`: the least that a server of restartd's shape can be. connect's own adapter, undici to the API server
 * as the kubeconfig's user `admin`, and two durable commits of one row, before the request leaves and before its answer does, in SQLite in
 * a thread of its own. Nothing is checked, nothing is followed, nothing is logged: no restart can cost less than this without another
 * library, or another promise.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { DatabaseSync } from "node:sqlite";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { create } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Agent, request } from "undici";
import { parse } from "yaml";
import { WorkloadService } from "../gen/restart/kubernetes/v1/workload_service_pb.ts";

/** About what an operation's row has. */
const ROW = "x".repeat(1000);

interface Kubeconfig {
  readonly clusters: readonly { readonly cluster: { server: string; "certificate-authority-data": string } }[];
  readonly users: readonly { readonly name: string; readonly user: { readonly token?: string } }[];
}

if (isMainThread) serve();
else keep();

function serve(): void {
  const { clusters, users } = parse(readFileSync(process.argv[2] ?? "", "utf8")) as Kubeconfig;
  const cluster = clusters[0]?.cluster;
  const token = users.find(({ name }) => name === "admin")?.user.token;
  if (cluster === undefined || token === undefined)
    throw new Error("the kubeconfig has no cluster, or no token of its user admin");
  const ca = Buffer.from(cluster["certificate-authority-data"], "base64");
  const dispatcher = new Agent({ allowH2: true, connect: { ca }, connections: 1 });
  const commit = openThread();
  let count = 0;
  const adapter = connectNodeAdapter({
    routes: ({ service }) =>
      service(WorkloadService, {
        async restart({ namespace, name }) {
          await commit();
          const annotations = { "kubectl.kubernetes.io/restartedAt": `${new Date().toISOString()}${++count}` };
          const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}?fieldManager=restartd`;
          const { statusCode, body } = await request(cluster.server + path, {
            method: "PATCH",
            dispatcher,
            headers: { authorization: `Bearer ${token}`, "content-type": "application/merge-patch+json" },
            body: JSON.stringify({ spec: { template: { metadata: { annotations } } } }),
          });
          await body.json();
          if (statusCode !== 200) throw new Error(`the API server answered ${statusCode}`);
          await commit();
          return create(WorkloadService.method.restart.output);
        },
      }),
  });
  const server = createServer(adapter);
  server.listen(0, "127.0.0.1", () => {
    process.stdout.write(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
  });
  process.once("SIGTERM", () => process.exit(0));
}

/** Has rows written by a thread; what it gives resolves when one is on the disk. */
function openThread(): () => Promise<void> {
  const worker = new Worker(new URL(import.meta.url));
  const waiting: (() => void)[] = [];
  worker.on("message", (written: number) => {
    for (const resolve of waiting.splice(0, written)) resolve();
  });
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      worker.postMessage(ROW);
    });
}

/** The thread: what comes in one turn shares a commit. */
function keep(): void {
  const database = new DatabaseSync("floor.db");
  database.exec("pragma journal_mode = wal; pragma synchronous = full; pragma locking_mode = exclusive");
  database.exec("create table rows (id integer primary key, text text)");
  const [begin, insert, commit] = ["begin", "insert into rows (text) values (?)", "commit"].map((sql) =>
    database.prepare(sql),
  );
  let rows: string[] = [];
  parentPort?.on("message", (row: string) => {
    rows.push(row);
    if (rows.length > 1) return;
    setImmediate(() => {
      const all = rows;
      rows = [];
      begin?.run();
      for (const one of all) insert?.run(one);
      commit?.run();
      parentPort?.postMessage(all.length);
    });
  });
}
