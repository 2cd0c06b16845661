import { request } from "node:http";
import { afterEach, describe, expect, it } from "vitest";
import { WorkloadService } from "../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import { startWatch, type Watch } from "../../src/admin/admin.ts";
import { startAdmin } from "../../src/admin/listener.ts";
import { VENDOR_RESULTS } from "../../src/core/meter.ts";
import { meterStore } from "../../src/operations/store/metered.ts";
import { record } from "../operations/records.ts";
import { createMemoryDatabase } from "../support/memory-store.ts";

let watch: Watch;
const now = () => new Date("2026-11-30T12:00:00Z");
let elapsed = 0;
const errors: unknown[] = [];
const monotonic = () => elapsed;

async function start(allowedHosts: string[] = []): Promise<Watch> {
  watch = await startWatch({
    listen: { host: "127.0.0.1", port: 0, allowedHosts },
    configSha256: "ab12",
    now,
    monotonic,
    onError: (error) => void errors.push(error),
  });
  return watch;
}
afterEach(async () => {
  expect(errors.splice(0)).toEqual([]);
  await watch[Symbol.asyncDispose]();
});

const get = async (path: string) => {
  const response = await fetch(`${watch.url}${path}`);
  return { status: response.status, body: await response.text() };
};

function ask(path: string, options: { method?: string; host?: string }): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const headers = options.host === undefined ? {} : { host: options.host };
    const sent = request(`${watch.url}${path}`, { method: options.method ?? "GET", headers }, (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on("error", reject).end();
  });
}

const RESTART = "restart.kubernetes.v1.WorkloadService/Restart";
const serving = () =>
  watch.serving([WorkloadService], {
    actions: [{ method: RESTART, verbs: ["restart"] }],
    vendors: [{ system: "kubernetes", names: ["prod"], operations: ["patch"] }],
  });

describe("the admin listener", () => {
  it("lives from its start and is ready once calls are accepted, until it drains", async () => {
    await start();
    expect(await get("/livez")).toEqual({ status: 200, body: "ok\n" });
    expect(await get("/readyz")).toEqual({
      status: 503,
      body: "[-]store failed: not opened yet\n[-]operations failed: not looked after yet\n[-]listener failed: no calls are accepted yet\n",
    });
    watch.storeOpened(createMemoryDatabase({ now }).connect("r1"));
    serving();
    expect(await get("/readyz")).toEqual({ status: 200, body: "ok\n" });
    expect(await get("/healthz")).toEqual({ status: 200, body: "ok\n" });
    watch.storeUsable(false);
    expect(await get("/readyz")).toEqual({ status: 200, body: "ok\n" });
    expect(await get("/readyz?require=store")).toEqual({
      status: 503,
      body: "[-]store failed: it cannot be used now\n",
    });
    watch.draining();
    expect(await get("/readyz?verbose")).toEqual({
      status: 503,
      body: "[+]store ok\n[+]operations ok\n[+]listener ok\n[-]drain failed: shutting down\nreadyz check failed\n",
    });
    expect((await get("/livez")).status).toBe(200);
  });

  it("answers GET and HEAD for addresses and allowed names alone", async () => {
    await start(["restartd.example.com"]);
    expect((await ask("/livez", { method: "HEAD" })).body).toBe("");
    expect((await ask("/livez", { method: "POST" })).status).toBe(405);
    expect((await ask("/other", {})).status).toBe(404);
    for (const host of ["10.1.2.3:8081", "[fd00::1]:8081", "localhost", "RESTARTD.example.com:8081"]) {
      expect((await ask("/livez", { host })).status).toBe(200);
    }
    for (const host of ["evil.example", "127.0.0.1.evil.example"]) {
      expect((await ask("/livez", { host })).status).toBe(403);
    }
  });

  it.each([
    ["cannot be rendered", () => Promise.reject(new Error("boom"))],
    [
      "throw",
      () => {
        throw new Error("boom");
      },
    ],
  ])("answers 500 where metrics %s, tells why, and goes on", async (_, render) => {
    await start();
    const told: unknown[] = [];
    await using broken = await startAdmin({
      host: "127.0.0.1",
      port: 0,
      allowedHosts: [],
      probes: { checks: [], strict: [] },
      metrics: { render },
      onError: (error) => void told.push(error),
    });
    const answer = await fetch(`${broken.url}/metrics`);
    expect([answer.status, await answer.text()]).toEqual([500, "this could not be answered: the log says why\n"]);
    expect(told).toEqual([new Error("boom")]);
    expect((await fetch(`${broken.url}/livez`)).status).toBe(200);
  });

  it("has every series of a closed label set at 0 before the first call", async () => {
    await start();
    serving();
    const { body } = await get("/metrics");
    expect(body).toContain(`restartd_rpc_total{rpc="${RESTART}",protocol="grpc-web",code="ok",reason=""} 0`);
    expect(body).toContain(`restartd_rpc_in_flight{rpc="${RESTART}"} 0`);
    expect(body).toContain('restartd_streams_open{rpc="restart.kubernetes.v1.WorkloadService/WatchRollout"} 0');
    expect(body).toContain('restartd_operations_total{system="kubernetes",action="restart",state="UNRESOLVED"} 0');
    expect(body).toContain('restartd_sends_total{system="kubernetes",action="restart",result="not_sent"} 0');
    expect(body).toContain('restartd_operations_open{system="kubernetes",state="UNKNOWN"} 0');
    for (const result of VENDOR_RESULTS) {
      expect(body).toContain(`restartd_vendor_requests_total{system="kubernetes",name="prod",result="${result}"} 0`);
    }
    expect(body).toContain('restartd_vendor_request_duration_seconds_count{system="kubernetes",operation="patch"} 0');
    expect(body).not.toMatch(/^restartd_vendor_up\{/m); // nobody has been asked yet
    expect(body).toContain('restartd_orphans_total{to="UNKNOWN"} 0');
    expect(body).toContain('restartd_config_info{sha256="ab12"} 1');
    expect(body).toContain("nodejs_eventloop_lag_p99_seconds");
  });

  it("says the same in both forms, whoever was there before and whoever asks at the same time", async () => {
    await start();
    serving();
    const scrape = async (accept: string) => {
      const response = await fetch(`${watch.url}/metrics`, { headers: { accept } });
      const body = await response.text();
      const series = body.split("\n").filter((line) => line.startsWith("restartd_"));
      return { type: response.headers.get("content-type"), ends: body.endsWith("# EOF\n"), series };
    };
    const text = await scrape("text/plain");
    expect(text).toMatchObject({ type: "text/plain; version=0.0.4; charset=utf-8", ends: false });
    expect(text.series).toContain('restartd_orphans_total{to="UNKNOWN"} 0');
    const forms = ["application/openmetrics-text; version=1.0.0", "text/plain"];
    const scrapes = await Promise.all([...forms, ...forms, ...forms].map(scrape));
    for (const [index, one] of scrapes.entries()) {
      expect(one.type).toMatch(index % 2 === 0 ? /^application\/openmetrics-text/ : /^text\/plain/);
      expect(one.ends).toBe(index % 2 === 0);
      expect(one.series).toEqual(text.series);
    }
  });

  it("has no series that a caller can make grow", async () => {
    await start();
    serving();
    // Those of Node may grow: it has a series for each kind of garbage collection that there was.
    const ours = (body: string): number => body.split("\n").filter((line) => line.startsWith("restartd_")).length;
    const before = ours((await get("/metrics")).body);
    for (let index = 0; index < 50; index++) {
      watch.meter.callEnded({ rpc: `x/${index}`, protocol: `p${index}`, code: `c${index}`, reason: "", durationMs: 1 });
    }
    const { body } = await get("/metrics");
    expect(ours(body)).toBe(before + 1);
    expect(body).toContain('restartd_rpc_total{rpc="_OTHER",protocol="http",code="unknown",reason=""} 50');
  });

  it("reads the gauges of the store at the scrape", async () => {
    await start();
    const store = meterStore(createMemoryDatabase({ now }).connect("r1"), watch.meter, monotonic);
    watch.storeOpened(store);
    serving();
    const createTime = now().getTime() - 90_000;
    const given = record({ method: RESTART, action: "restart", state: "SENDING", owner: "r1", createTime });
    await store.insert([given], { event: "accepted" });
    elapsed += 10_000;
    expect((await get("/metrics")).body).toContain(
      'restartd_operation_oldest_seconds{system="kubernetes",state="SENDING"} 90',
    );
    await store.change(given, { state: "SUCCEEDED", blocks: false, endTime: now().getTime() }, { event: "sent" });
    elapsed += 10_000;
    const { body } = await get("/metrics");
    expect(body).toContain('restartd_operations_open{system="kubernetes",state="SENDING"} 0');
    expect(body).toContain('restartd_operations_total{system="kubernetes",action="restart",state="SUCCEEDED"} 1');
    expect(body).toContain('restartd_sends_total{system="kubernetes",action="restart",result="accepted"} 1');
    expect(body).toContain(
      'restartd_operation_duration_seconds_sum{system="kubernetes",action="restart",state="SUCCEEDED"} 90',
    );
    expect(body).toMatch(/restartd_store_operation_duration_seconds_count\{operation="change",result="ok"\} 1\n/);
  });

  it("counts what another process has left as orphans, and no cancellation by a person", async () => {
    await start();
    const store = meterStore(createMemoryDatabase({ now }).connect("r1"), watch.meter, monotonic);
    const given = (name: string, target: string) =>
      record({ name, target, method: RESTART, action: "restart", state: "ACCEPTED", owner: "dead" });
    const [left, cancelled] = [given("operations/a", "t1"), given("operations/b", "t2")];
    await store.insert([left, cancelled], { event: "accepted" });
    await store.change(left, { state: "CANCELLED", blocks: false }, { event: "cancelled" });
    await store.change(cancelled, { state: "CANCELLED", blocks: false }, { event: "cancelled", actor: "ann" });
    expect((await get("/metrics")).body).toContain('restartd_orphans_total{to="CANCELLED"} 1');
  });
});
