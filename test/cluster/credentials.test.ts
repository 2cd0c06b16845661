import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { createClient } from "../../src/targets/kubernetes/client.ts";
import { type ClusterSource, openCredentials } from "../../src/targets/kubernetes/cluster/credentials.ts";
import { asRequest, testClock } from "../support/cluster-client.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import { startConnectProxy, startSocksProxy } from "../support/proxy.ts";
import type { ControlPlane } from "./attach.ts";
import type { Credential } from "./kubeconfig.ts";
import { sharedControlPlane } from "./shared.ts";

const shared = sharedControlPlane();
const base64 = (text: string) => Buffer.from(text).toString("base64");

/** Says who we are: the API server names us where we may not read. */
const FORBIDDEN = "/api/v1/namespaces/kube-system/secrets/none";

describe.skipIf(shared === undefined)("credentials on a real API server", () => {
  const cluster = shared as ControlPlane;
  let cleanup = new AsyncDisposableStack();
  afterEach(async () => {
    vi.unstubAllEnvs();
    await cleanup.disposeAsync();
    cleanup = new AsyncDisposableStack();
  });
  const use = async <Resource extends AsyncDisposable>(resource: Promise<Resource>): Promise<Resource> =>
    cleanup.use(await resource);

  const open = (source: ClusterSource) => {
    const clock = { ms: 0 };
    const credentials = openCredentials(source, {
      monotonic: () => clock.ms,
      now: () => new Date(),
      tell: () => {},
    });
    const client = createClient(credentials, "restartd/test", testClock());
    cleanup.use(client);
    const get = (path = FORBIDDEN) => client.request(asRequest({ path }));
    return {
      clock,
      get,
      /** `allowed`, or the user that the API server refuses, or its status. */
      async whoAmI() {
        const { status, json } = await get();
        const { message = "" } = (json ?? {}) as { message?: string };
        return status === 404
          ? "allowed"
          : (/^secrets "none" is forbidden: User "([^"]+)"/.exec(message)?.[1] ?? status);
      },
    };
  };
  const trusted = () => ({ server: cluster.url, "certificate-authority-data": base64(cluster.info.ca) });
  const credentialOf = (user: string): Credential => {
    const credential = cluster.info.users[user];
    if (credential === undefined) throw new Error(`no user ${user}`);
    return credential;
  };
  const tokenOf = (user: string): string => {
    const credential = credentialOf(user);
    if (!("token" in credential)) throw new Error(`${user} has no token`);
    return credential.token;
  };
  const openUser = async (user: object, way: object = {}) => {
    const folder: Folder = await use(temporaryFolder());
    return { folder, ...open({ kubeconfig: await folder.kubeconfig({ ...trusted(), ...way }, user) }) };
  };

  test("every user of the control plane is who it is", async () => {
    for (const context of cluster.users) {
      const { whoAmI } = open({ kubeconfig: cluster.kubeconfig, context });
      expect(await whoAmI()).toBe(context === "intruder" ? 401 : context);
    }
    expect(await open({ kubeconfig: cluster.kubeconfig }).whoAmI()).toBe("allowed");
  });

  test("a token file that is rotated", async () => {
    const { folder, clock, whoAmI } = await openUser({ tokenFile: "token" }).then(async (opened) => {
      await opened.folder.write("token", `${tokenOf("reader")}\n`);
      return opened;
    });
    expect(await whoAmI()).toBe("reader");
    await folder.write("token", `${tokenOf("patcher")}\n`);
    clock.ms = 1_001;
    expect(await whoAmI()).toBe("patcher");
    await folder.write("token", "expired");
    clock.ms = 3_000;
    expect(await whoAmI()).toBe(401);
    await folder.write("token", tokenOf("reader"));
    expect(await whoAmI()).toBe("reader");
  });

  test("an exec plugin, by its token and by its client certificate", async () => {
    const credential = (status: object) => ["-n", JSON.stringify({ kind: "ExecCredential", status })];
    const byToken = await openUser({ exec: { command: "echo", args: credential({ token: tokenOf("reader") }) } });
    expect(await byToken.whoAmI()).toBe("reader");
    const certified = Object.entries(cluster.info.users).find(([, each]) => "cert" in each);
    if (certified === undefined) throw new Error("no user of the control plane has a certificate");
    const [, { cert, key }] = certified as [string, { cert: string; key: string }];
    const folder = await use(temporaryFolder());
    await folder.write("credential", JSON.stringify({ status: { clientCertificateData: cert, clientKeyData: key } }));
    const exec = { command: "cat", args: [join(folder.path, "credential")] };
    expect((await (await openUser({ exec })).get("/api")).status).toBe(200);
  });

  test("as somebody else", async () => {
    const admin = credentialOf("admin");
    const identity =
      "token" in admin
        ? { token: admin.token }
        : { "client-certificate-data": base64(admin.cert), "client-key-data": base64(admin.key) };
    expect(await (await openUser({ ...identity, as: "ann" })).whoAmI()).toBe("ann");
    // Who may not impersonate is told so.
    const { get } = await openUser({ token: tokenOf("reader"), as: "ann" });
    expect(await get()).toMatchObject({ status: 403, text: expect.stringContaining("cannot impersonate") });
  });

  test("a pod's service account", async () => {
    const root = await use(temporaryFolder());
    const account = join(root.path, "var/run/secrets/kubernetes.io/serviceaccount");
    await mkdir(account, { recursive: true });
    await writeFile(join(account, "ca.crt"), cluster.info.ca);
    await writeFile(join(account, "token"), tokenOf("reader"));
    const { hostname, port } = new URL(cluster.url);
    vi.stubEnv("KUBERNETES_SERVICE_HOST", hostname);
    vi.stubEnv("KUBERNETES_SERVICE_PORT", port);
    const { clock, whoAmI } = open({ inCluster: true, root: root.path });
    expect(await whoAmI()).toBe("reader");
    await writeFile(join(account, "token"), tokenOf("patcher"));
    clock.ms = 1_001;
    expect(await whoAmI()).toBe("patcher");
  });

  test.each([
    ["http", startConnectProxy],
    ["socks5", startSocksProxy],
  ])("200 requests through one tunnel of a proxy by %s", async (scheme, startProxy) => {
    const proxy = await use(startProxy());
    const { get } = await openUser(
      { token: tokenOf("reader") },
      { "proxy-url": `${scheme}://127.0.0.1:${proxy.port}` },
    );
    for (let index = 0; index < 200; index++) expect((await get("/version")).status).toBe(200);
    expect(proxy.tunnels).toEqual([new URL(cluster.url).host]);
  });

  test("another authority is not trusted, unless nothing is checked", async () => {
    const folder = await use(temporaryFolder());
    const user = { token: tokenOf("reader") };
    const strict = open({ kubeconfig: await folder.kubeconfig({ server: cluster.url }, user, "strict") });
    await expect(strict.get()).rejects.toMatchObject({ sent: false });
    const loose = { server: cluster.url, "insecure-skip-tls-verify": true };
    expect(await open({ kubeconfig: await folder.kubeconfig(loose, user, "loose") }).whoAmI()).toBe("reader");
  });
});
