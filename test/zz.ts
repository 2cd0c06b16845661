import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { WorkloadService } from "../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { serve } from "./server/fixture.ts";
for (let i = 0; i < 40; i++) {
  const begun = Promise.withResolvers<void>();
  const fixture = await serve({ async listClusters() { begun.resolve(); return new Promise(() => {}); } });
  const client = createClient(WorkloadService, createGrpcTransport({ baseUrl: fixture.server.url }));
  const list = client.listClusters({}); let l = "pending", c = "pending";
  list.then(() => { l = "ok" }, (e) => { l = e.message; });
  await begun.promise;
  const closed = fixture.server.close(50).then((v) => { c = String(v); });
  await Promise.race([Promise.all([closed, list.catch(() => {})]), new Promise((r) => setTimeout(r, 3000))]);
  console.log(i, "list:", l, "closed:", c, fixture.lines.map((x) => x.msg + ":" + (x.error ?? "")).join(" | "));
}
process.exit(0);
