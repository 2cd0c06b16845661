import type { Answer } from "../../../src/clouds/http.ts";
import type { IamSettings, KeySettings, ProjectSettings } from "../../../src/clouds/huawei/config.ts";
import { failureOf, refusal } from "../../../src/clouds/huawei/errors.ts";
import { type HuaweiRequest, openProjects, type Project } from "../../../src/clouds/huawei/project.ts";
import type { RequestSubject } from "../../../src/clouds/huawei/rules.ts";
import { type Account, type AccountOptions, createAccount } from "../../../src/clouds/huawei/simulator/account.ts";
import {
  type HuaweiHandler,
  type HuaweiServer,
  startHuaweiService,
} from "../../../src/clouds/huawei/simulator/gateway.ts";
import { startIam } from "../../../src/clouds/huawei/simulator/iam.ts";
import { jsonReply } from "../../../src/clouds/simulator/exchange.ts";
import type { VendorServer } from "../../../src/clouds/simulator/server.ts";
import type { Failure } from "../../../src/core/errors.ts";
import type { Meter } from "../../../src/core/meter.ts";

/** A DCS that answers what it was asked, an IAM, the account behind both, and a client of them. */
export interface Scene extends AsyncDisposable {
  readonly account: Account;
  readonly service: HuaweiServer;
  readonly iam: VendorServer;
  readonly project: Project;
  /** Restartd's clock. */
  now: () => number;
  /** Restartd's clock that never goes back (ms). */
  uptime: number;
  /** Sends a request with what it must have: default GET /v2/PROJECT/instances. */
  send(request?: Partial<HuaweiRequest>): Promise<Answer>;
  /** What becomes of a request that has no success. */
  failure(request?: Partial<HuaweiRequest>): Promise<Failure>;
}

/** What a {@link Scene} is like. */
export interface SceneOptions {
  readonly account?: AccountOptions;
  /** Default the account's first key. */
  readonly credentials?: (account: Account, iam: VendorServer) => ProjectSettings["credentials"];
  readonly handle?: HuaweiHandler;
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly settings?: Partial<ProjectSettings>;
  readonly meter?: Meter;
}

const echo: HuaweiHandler = ({ method, path, body }) => jsonReply(200, { method, path, body });

/** The account's first key, as it is at every moment. */
export const byKey = (account: Account): KeySettings => {
  const key = () => account.keys[0] ?? { accessKey: "", secretKey: "" };
  return {
    kind: "key",
    accessKey: () => key().accessKey,
    secretKey: () => key().secretKey,
    securityToken: key().securityToken === undefined ? undefined : () => key().securityToken ?? "",
  };
};

/** The account's IAM user, with its password as it is at every moment. */
export const byPassword = ({ user }: Account, { url }: VendorServer): IamSettings => ({
  kind: "iam",
  endpoint: url,
  username: user.name,
  domain: user.domain,
  password: () => user.password,
});

/** Starts a {@link Scene}. */
export async function startScene(options: SceneOptions = {}): Promise<Scene> {
  const { credentials = byKey, handle = echo, tls } = options;
  const account = createAccount(options.account);
  const tlsOption = tls === undefined ? {} : { tls };
  const service = await startHuaweiService({ service: "dcs", account, handle, ...tlsOption });
  const iam = await startIam(account, tlsOption);
  const settings: ProjectSettings = {
    projectId: account.projectId,
    region: account.region,
    credentials: credentials(account, iam),
    endpoints: { cse: "http://127.0.0.1:1", dcs: service.url, ddm: "http://127.0.0.1:1" },
    ca: undefined,
    ...options.settings,
  };
  const clock = { now: () => account.now(), uptime: 0 };
  const projects = openProjects([settings], "dcs", {
    now: () => new Date(clock.now()),
    monotonic: () => clock.uptime,
    ...(options.meter && { meter: options.meter }),
  });
  const project = projects.find(account.projectId);
  const path = `/v2/${account.projectId}/instances`;
  const send = (request: Partial<HuaweiRequest> = {}) =>
    project.request({ method: "GET", path, signal: new AbortController().signal, ...request });
  return {
    account,
    service,
    iam,
    project,
    get now() {
      return clock.now;
    },
    set now(now) {
      clock.now = now;
    },
    get uptime() {
      return clock.uptime;
    },
    set uptime(uptime) {
      clock.uptime = uptime;
    },
    send,
    async failure(request = {}) {
      const asked: RequestSubject = {
        service: "dcs",
        projectId: account.projectId,
        what: "instance i",
        target: `projects/${account.projectId}/dcs/instances/i`,
        changes: (request.method ?? "GET") !== "GET",
      };
      return send(request).then(
        (answer) => refusal(answer, asked, []),
        (error: unknown) => failureOf(error, asked),
      );
    },
    async [Symbol.asyncDispose]() {
      await projects[Symbol.asyncDispose]();
      await service[Symbol.asyncDispose]();
      await iam[Symbol.asyncDispose]();
    },
  };
}
