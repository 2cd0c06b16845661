import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { attach, type ControlPlane, type ControlPlaneInfo, untilReady } from "./attach.ts";
import { createAuthority, newSigningKey } from "./certificates.ts";
import { serveProcessControl } from "./control-socket.ts";
import { type Credential, kubeconfig } from "./kubeconfig.ts";
import { assets, type BinaryName, binary, controlPlaneModules, missingModules } from "./modules.ts";
import { freePorts } from "./ports.ts";
import { type ProcessName, type ProcessSpec, Supervisor } from "./processes.ts";
import { auditPolicy, userNames, userRights } from "./users.ts";
import { create, until } from "./world.ts";

/** Options of {@link startControlPlane}. */
export interface ControlPlaneOptions {
  /** Argo Rollouts: its CRDs and its own controller. Default true. */
  readonly argoRollouts?: boolean;
  /** How many fake nodes; a DaemonSet gets one pod on each. Default 2. */
  readonly nodes?: number;
  /** Further flags of kube-apiserver, for example an audit log's. Default none. */
  readonly apiServerFlags?: readonly string[];
  /** Further flags of etcd, for example a quota. Default none. */
  readonly etcdFlags?: readonly string[];
}

/**
 * Starts a Kubernetes control plane on loopback: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kwok for nodes and
 * pods, and the Argo Rollouts controller. Resolves once its nodes are ready for pods; disposing it ends and removes everything.
 *
 * Beside the contexts of {@link Backend.users} its kubeconfig has `cert-admin`, an administrator with a client certificate.
 * Rejects when it is not built yet (`node test/cluster/build.ts`), or with the end of the log of a process that ended early.
 */
export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const missing = missingModules(controlPlaneModules);
  if (missing.length > 0) {
    throw new Error(`the control plane is not built yet (${missing.join(", ")}): run node test/cluster/build.ts`);
  }
  const [etcdPort = 0, peerPort = 0, apiPort = 0] = await freePorts(3);
  const folder = mkdtempSync(join(tmpdir(), "restartd-cluster-"));
  const info = writeFiles(folder, apiPort);
  await using cleanup = new AsyncDisposableStack();
  const supervisor = cleanup.use(new Supervisor(folder, processSpecs(info, { etcdPort, peerPort, apiPort }, options)));
  const cluster = cleanup.use(attach(info, supervisor));
  const control = await serveProcessControl(supervisor, info.controlSocket);
  cleanup.defer(async () => {
    control.close();
    await once(control, "close");
  });

  await Promise.race([bringUp(cluster, supervisor, options), rejection(supervisor.died)]);
  // Later deaths concern whatever test is running: it fails by itself, and this says why.
  supervisor.died.addEventListener("abort", () => process.stderr.write(`${supervisor.died.reason}\n`));
  const owned = cleanup.move();
  return { ...cluster, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function bringUp(cluster: ControlPlane, supervisor: Supervisor, options: ControlPlaneOptions): Promise<void> {
  await supervisor.start("etcd");
  await supervisor.start("kube-apiserver");
  await untilReady(cluster.request, supervisor.died);
  await Promise.all([
    supervisor.start("kube-controller-manager"),
    supervisor.start("kube-scheduler"),
    supervisor.start("kwok"),
    ...userRights().map((object) => create(cluster, object)),
    options.argoRollouts === false ? undefined : startArgoRollouts(cluster, supervisor),
    ...Array.from({ length: options.nodes ?? 2 }, (_, index) => createNode(cluster, `node-${index + 1}`)),
  ]);
}

async function startArgoRollouts(cluster: ControlPlane, supervisor: Supervisor): Promise<void> {
  const files = assets("argo");
  const flags = files.flatMap((file) => ["-f", file]);
  const result = await cluster.kubectl(["apply", "--server-side", "--validate=false", ...flags]);
  if (result.code !== 0) throw new Error(`Argo Rollouts' CRDs: ${result.stderr}`);
  await Promise.all(
    files.map(async (file) => {
      const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${basename(file, ".yaml")}`;
      await until(cluster, path, isEstablished, { what: "Established" });
    }),
  );
  await supervisor.start("rollouts-controller");
  // It ends when the API server goes away before this line, and outlives that afterwards.
  await supervisor.logged("rollouts-controller", "Started controller");
}

function isEstablished(crd: { status?: { conditions?: { type: string; status: string }[] } }): boolean {
  return crd.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True") ?? false;
}

/** A node that kwok plays; ready for pods once kube-controller-manager has taken its not-ready taint away. */
async function createNode(cluster: ControlPlane, name: string): Promise<void> {
  const resources = { cpu: "1000", memory: "1000Gi", pods: "10000" };
  await create(cluster, {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      annotations: { "kwok.x-k8s.io/node": "fake" },
      labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/role": "agent" },
    },
    status: { allocatable: resources, capacity: resources },
  });
  await until(cluster, `/api/v1/nodes/${name}`, (node) => node !== undefined && !node.spec.taints, {
    what: "its not-ready taint to go",
    timeout: 60_000,
  });
}

function writeFiles(folder: string, apiPort: number): ControlPlaneInfo {
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text, { mode: 0o600 });
  const authority = createAuthority("restartd-test-ca");
  const server = authority.issue({
    commonName: "kube-apiserver",
    usage: "server",
    hosts: ["127.0.0.1", "localhost", "kubernetes"],
  });
  const signing = newSigningKey();
  const tokens = Object.fromEntries(["admin", ...userNames].map((name) => [name, { token: newToken() }]));
  const users: Record<string, Credential> = {
    ...tokens,
    "cert-admin": authority.issue({ commonName: "cert-admin", organizations: ["system:masters"], usage: "client" }),
  };
  write("ca.crt", authority.cert);
  write("apiserver.crt", server.cert);
  write("apiserver.key", server.key);
  write("sa.key", signing.privateKey);
  write("sa.pub", signing.publicKey);
  // The intruder's token is one that the server does not know.
  const known = Object.entries(tokens).filter(([name]) => name !== "intruder");
  const line = ([name, { token }]: [string, { token: string }]) =>
    `${token},${name},${name}${name === "admin" ? ",system:masters" : ""}\n`;
  write("audit-policy.yaml", auditPolicy);
  write("tokens.csv", known.map(line).join(""));
  const url = `https://127.0.0.1:${apiPort}`;
  write("kubeconfig", kubeconfig(url, authority.cert, users));
  return {
    url,
    folder,
    kubeconfig: join(folder, "kubeconfig"),
    kubectl: program("kubectl"),
    controlSocket: join(folder, "control.sock"),
    ca: authority.cert,
    users,
  };
}

function processSpecs(
  info: ControlPlaneInfo,
  ports: { etcdPort: number; peerPort: number; apiPort: number },
  options: ControlPlaneOptions,
): Partial<Record<ProcessName, ProcessSpec>> {
  const file = (name: string) => join(info.folder, name);
  const etcd = `http://127.0.0.1:${ports.etcdPort}`;
  const kubeconfigFlag = `--kubeconfig=${info.kubeconfig}`;
  const controller = [kubeconfigFlag, "--leader-elect=false"];
  return {
    etcd: {
      program: program("etcd"),
      args: [
        `--data-dir=${file("etcd")}`,
        `--listen-client-urls=${etcd}`,
        `--advertise-client-urls=${etcd}`,
        `--listen-peer-urls=http://127.0.0.1:${ports.peerPort}`,
        "--unsafe-no-fsync",
        ...(options.etcdFlags ?? []),
      ],
    },
    "kube-apiserver": { program: program("kube-apiserver"), args: apiServerArgs(file, etcd, ports.apiPort, options) },
    "kube-controller-manager": {
      program: program("kube-controller-manager"),
      args: [
        ...controller,
        `--service-account-private-key-file=${file("sa.key")}`,
        "--secure-port=0",
        // A node does not count as lost while kwok stands still.
        "--node-monitor-grace-period=24h",
        // By default it holds itself back to 20 requests a second.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
      ],
    },
    "kube-scheduler": { program: program("kube-scheduler"), args: [...controller, "--secure-port=0"] },
    kwok: {
      program: program("kwok"),
      args: [kubeconfigFlag, "--manage-all-nodes=true", ...assets("kwok").map((stage) => `--config=${stage}`)],
    },
    ...(options.argoRollouts !== false && {
      "rollouts-controller": {
        program: program("rollouts-controller"),
        // It serves metrics and health on every interface. A port that cannot be is logged and otherwise ignored; 0 would be any free one.
        args: [...controller, "--metricsPort=-1", "--healthzPort=-1", "--qps=200", "--burst=400"],
      },
    }),
  };
}

function apiServerArgs(
  file: (name: string) => string,
  etcd: string,
  port: number,
  options: ControlPlaneOptions,
): string[] {
  return [
    `--etcd-servers=${etcd}`,
    "--bind-address=127.0.0.1",
    `--secure-port=${port}`,
    `--tls-cert-file=${file("apiserver.crt")}`,
    `--tls-private-key-file=${file("apiserver.key")}`,
    `--client-ca-file=${file("ca.crt")}`,
    `--token-auth-file=${file("tokens.csv")}`,
    "--authorization-mode=RBAC",
    `--audit-policy-file=${file("audit-policy.yaml")}`,
    `--audit-log-path=${file("audit.log")}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--service-account-key-file=${file("sa.pub")}`,
    `--service-account-signing-key-file=${file("sa.key")}`,
    "--service-cluster-ip-range=10.0.0.0/24",
    "--allow-privileged=true",
    "--endpoint-reconciler-type=none",
    // Without it, SIGTERM takes more than 30 seconds while controllers watch.
    "--shutdown-watch-termination-grace-period=1s",
    ...(options.apiServerFlags ?? []),
  ];
}

function program(name: BinaryName): string {
  const path = binary(name);
  if (path === undefined) throw new Error(`${name} is not built yet: run node test/cluster/build.ts`);
  return path;
}

function newToken(): string {
  return randomBytes(24).toString("base64url");
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}
