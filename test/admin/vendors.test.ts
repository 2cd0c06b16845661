import { X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { vendorCounter } from "../../src/clouds/counted.ts";
import { jsonReply } from "../../src/clouds/simulator/exchange.ts";
import { noMeter, type VendorRequestCount } from "../../src/core/meter.ts";
import { openSite } from "../../src/targets/arcgis/client.ts";
import { startArcgisSimulator } from "../../src/targets/arcgis/simulator.ts";
import { createClient } from "../../src/targets/kubernetes/client.ts";
import { openCredentials } from "../../src/targets/kubernetes/cluster/credentials.ts";
import { byKey, byPassword, startScene } from "../clouds/huawei/support.ts";
import { createAuthority } from "../cluster/certificates.ts";
import { asRequest, loopbackCertificates, testClock } from "../support/cluster-client.ts";
import { startConfigured } from "../support/configured.ts";
import { temporaryFolder } from "../support/folder.ts";
import { http1, startWireServer } from "../support/wire-server.ts";
import { FEATURES, settingsOf } from "../targets/arcgis/site.ts";

/** What was counted, as `system/name operation result`. */
function counting() {
  const counts: string[] = [];
  const expiries: (number | undefined)[] = [];
  const meter = {
    ...noMeter,
    vendorRequest: ({ system, name, operation, result }: VendorRequestCount) =>
      void counts.push(`${system}/${name} ${operation} ${result}`),
    credentialsExpire: (_system: string, _name: string, at: number | undefined) => void expiries.push(at),
  };
  return { counts, expiries, meter };
}

const never = () => new AbortController().signal;

describe("requests to a project", () => {
  it("count by their answers, and a refused signature as refused credentials", async () => {
    const { counts, meter } = counting();
    let status = 200;
    let secret: string | undefined;
    await using scene = await startScene({
      meter,
      handle: () => jsonReply(status, {}),
      credentials: (account) => ({ ...byKey(account), secretKey: () => secret ?? account.keys[0]?.secretKey ?? "" }),
    });
    for (status of [200, 302, 404, 429, 503]) await scene.send({ operation: "list" });
    secret = "another";
    await scene.send();
    const of = `dcs/${scene.account.projectId}`;
    expect(counts).toEqual([
      ...["2xx", "3xx", "4xx", "429", "5xx"].map((result) => `${of} list ${result}`),
      `${of} get credentials`,
    ]);
  });

  it("count a token that has run out as no refusal, and a login that IAM refuses as one", async () => {
    const { counts, meter } = counting();
    await using scene = await startScene({ meter, credentials: byPassword });
    const of = `dcs/${scene.account.projectId}`;
    await scene.send();
    scene.account.tokens.clear();
    await scene.send();
    expect(counts).toEqual([`${of} token 2xx`, `${of} get 2xx`, `${of} get 4xx`, `${of} token 2xx`, `${of} get 2xx`]);
    await using other = await startScene({
      meter,
      credentials: (account, iam) => ({ ...byPassword(account, iam), password: () => "another" }),
    });
    await other.failure();
    await other.failure(); // which is not asked again
    expect(counts.slice(5)).toEqual([`${of} token credentials`]);
  });
});

describe("requests to a site", () => {
  it("count by the code in their answers, and a refused login as refused credentials", async () => {
    const { counts, meter } = counting();
    await using simulator = await startArcgisSimulator();
    const runtime = { now: () => new Date(), monotonic: () => performance.now(), meter };
    await using site = openSite(settingsOf(simulator), runtime);
    await site.getStatus(FEATURES, never());
    await site.listDeployments(never());
    await site.getDeployment("nothing", never()).catch(() => {});
    simulator.password = "new";
    await using stranger = openSite(settingsOf(simulator, { name: "two", password: () => "old" }), runtime);
    await stranger.getJob("j1", never()).catch(() => {});
    expect(counts).toEqual([
      "arcgis/gis token 2xx",
      "arcgis/gis status 2xx",
      "arcgis/gis list 2xx",
      "arcgis/gis get 4xx",
      "arcgis/two token credentials",
    ]);
  });
});

describe("requests to a cluster", () => {
  const { certified, ca } = loopbackCertificates();

  async function open(cluster: object, user: object = { token: "tok-1" }) {
    const seen = counting();
    const folder = await temporaryFolder();
    const runtime = { monotonic: () => performance.now(), now: () => new Date() };
    const credentials = openCredentials(
      { kubeconfig: await folder.kubeconfig(cluster, user) },
      { ...runtime, tell: () => {}, expires: (at) => seen.meter.credentialsExpire("kubernetes", "prod", at) },
    );
    const counter = vendorCounter({ ...runtime, meter: seen.meter }, "kubernetes", "prod");
    const client = createClient(credentials, "restartd/test", testClock(), counter);
    return {
      ...seen,
      client,
      async [Symbol.asyncDispose]() {
        await client[Symbol.asyncDispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  it("count what is answered, cut, silent, refused, and not trusted", async () => {
    await using server = await startWireServer(({ target, socket }) => {
      if (target === "/cut") socket.destroy();
      else if (target !== "/silent") socket.write(http1(Number(target.slice(1)), {}));
    }, certified);
    const server_ = { server: server.url, "certificate-authority-data": ca };
    await using cluster = await open(server_);
    for (const path of ["/200", "/401", "/429", "/cut"])
      await cluster.client.request(asRequest({ path })).catch(() => {});
    await cluster.client.request(asRequest({ path: "/silent", timeoutMs: 50 })).catch(() => {});
    await cluster.client.watch(asRequest({ path: "/403" })).catch(() => {});
    await using foreign = await open({ server: server.url });
    await foreign.client.request(asRequest({ path: "/200" })).catch(() => {});
    await server[Symbol.asyncDispose]();
    await using gone = await open(server_);
    await gone.client.request(asRequest({ path: "/200" })).catch(() => {});
    expect([cluster.counts, foreign.counts, gone.counts]).toEqual([
      ["get 2xx", "get credentials", "get 429", "get reset", "get timeout", "watch 4xx"].map(
        (n) => `kubernetes/prod ${n}`,
      ),
      ["kubernetes/prod get tls"],
      ["kubernetes/prod get refused"],
    ]);
  });

  it("do not count for the vendor when the caller has left, nor when nothing could be sent", async () => {
    await using server = await startWireServer(() => {});
    await using cluster = await open({ server: server.url });
    const leave = new AbortController();
    const asked = cluster.client.request(asRequest({ signal: leave.signal })).catch(() => {});
    await expect.poll(() => server.requests.length).toBe(1);
    leave.abort(new Error("left"));
    await asked;
    await using lost = await open({ server: server.url }, { tokenFile: "nowhere" });
    await lost.client.request(asRequest()).catch(() => {});
    expect([...cluster.counts, ...lost.counts]).toEqual([]);
  });

  it("say when a certificate ends, and a token that stands in the kubeconfig", async () => {
    await using server = await startWireServer(({ socket }) => void socket.write(http1(200, {})), certified);
    const address = { server: server.url, "certificate-authority-data": ca };
    const mine = createAuthority("clients").issue({ commonName: "restartd", usage: "client" });
    const token = (exp: number) => {
      const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
      return `${part({ alg: "none" })}.${part({ exp })}.c2ln`;
    };
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const proofs: [object, number | undefined][] = [
      [{ token: token(2_000_000_000) }, 2_000_000_000_000],
      [{ token: "opaque" }, undefined],
      [
        { "client-certificate-data": base64(mine.cert), "client-key-data": base64(mine.key) },
        new X509Certificate(mine.cert).validToDate.getTime(),
      ],
    ];
    for (const [user, end] of proofs) {
      await using cluster = await open(address, user);
      await cluster.client.request(asRequest());
      await cluster.client.request(asRequest());
      expect(cluster.expiries).toEqual(end === undefined ? [] : [end]);
    }
  });
});

it("are counted by the program, under labels that were there before the first of them", async () => {
  await using restartd = await startConfigured({ admin: { listen: "127.0.0.1:0" } });
  const { admin } = await restartd.program.line(({ msg }) => msg === "ready");
  const scrape = async () => (await fetch(`${admin}/metrics`)).text();
  const seriesOf = (text: string) =>
    text
      .split("\n")
      .flatMap((line) => /^restartd_vendor_request(?:s_total|_duration_seconds_count)\{[^}]*\}/.exec(line) ?? []);
  const before = await scrape();
  expect(before).toContain('restartd_vendor_requests_total{system="kubernetes",name="sandbox",result="credentials"} 0');
  expect(before).not.toMatch(/^restartd_vendor_up\{/m);
  const target = {
    cluster: "sandbox",
    group: "apps",
    version: "v1",
    resource: "deployments",
    namespace: "shop",
    name: "web",
  };
  for (const [method, body] of [
    ["Restart", target],
    ["GetRollout", target],
    ["ListClusters", {}],
    ["ListWorkloads", { cluster: "sandbox" }],
  ] as const) {
    const answer = await fetch(`${restartd.program.url}/restart.kubernetes.v1.WorkloadService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    expect(await answer.text(), method).not.toContain('"code"');
  }
  const after = await scrape();
  expect(seriesOf(after)).toEqual(seriesOf(before));
  expect(after).toMatch(
    /^restartd_vendor_request_duration_seconds_count\{system="kubernetes",operation="patch"\} [1-9]/m,
  );
  expect(after).toMatch(
    /^restartd_vendor_request_duration_seconds_count\{system="kubernetes",operation="list"\} [1-9]/m,
  );
  expect(after).toContain('restartd_vendor_up{system="kubernetes",name="sandbox"} 1');
});
