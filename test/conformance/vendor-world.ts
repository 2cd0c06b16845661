import type { Account } from "../../src/clouds/huawei/simulator/account.ts";
import { createAccount } from "../../src/clouds/huawei/simulator/account.ts";
import type { HuaweiServer } from "../../src/clouds/huawei/simulator/gateway.ts";
import { withEndpoint } from "../../src/clouds/huawei/simulator/sandbox.ts";
import type { VendorReply, VendorRequest } from "../../src/clouds/simulator/exchange.ts";
import type { Fault } from "../../src/clouds/simulator/faults.ts";
import type { VendorServer } from "../../src/clouds/simulator/server.ts";
import { type Folder, temporaryFolder } from "../support/folder.ts";
import type { Sections, WireFault, WireReply, World } from "./subject.ts";

/** How often (ms) everything is looked at. */
export const POLL_MS = 15;

/** How long (ms) what was begun takes, unless it is held. */
export const JOB_MS = 30;

/** What every world has that is one server of src/clouds/simulator: what it recorded, its faults, its end. */
export type ServerPart = Pick<World, "requests" | "mutations" | "inject" | "vanish" | typeof Symbol.asyncDispose>;

/** The part of a world that its server is. */
export function serverPart(server: VendorServer, isMutation: (request: VendorRequest) => boolean): ServerPart {
  let ending: Promise<void> | undefined;
  const end = (): Promise<void> => {
    ending ??= server[Symbol.asyncDispose]();
    return ending;
  };
  const isRead = ({ method }: VendorRequest): boolean => method === "GET";
  return {
    requests: () => server.requests.length,
    mutations: () => server.requests.filter(isMutation).length,
    inject: (which, fault) =>
      void server.inject({ ...faultOf(fault), when: which === "mutation" ? isMutation : isRead }),
    vanish: end,
    [Symbol.asyncDispose]: end,
  };
}

const faultOf = ({ answer, ...fault }: WireFault): Fault => ({
  ...fault,
  ...(typeof answer === "function" ? { answer: (real) => answer(asWire(real)) } : answer && { answer }),
});

const asWire = ({ status, headers = {}, body = "" }: VendorReply): WireReply => ({
  status,
  headers: { ...(typeof body !== "string" && { "content-type": "application/json" }), ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

/** Writes a secret as an operator would, and says where it is. */
export async function secretFile(folder: Folder, name: string, secret: string) {
  return { source: { case: "file" as const, value: await folder.write(name, `${secret}\n`) } };
}

/** Who we are at Huawei Cloud: nothing else contains the secret. */
export const newAccount = (): Account =>
  createAccount({
    projectId: "7d2a6d4f0b1c4f0e9a3b5c6d7e8f9a0b",
    keys: [
      {
        accessKey: "CONFORMANCEKEY000001",
        secretKey: "sk-of-conformance-8Qv2",
        securityToken: "st-of-conformance-5Wd7",
      },
    ],
  });

/** What a world of Huawei Cloud has beside its server's part. */
export interface HuaweiPart extends ServerPart {
  readonly sections: Sections;
  readonly secrets: readonly string[];
}

/** The part of a world that a service of Huawei Cloud is, with the configuration that reaches it. */
export async function huaweiPart(
  server: HuaweiServer,
  isMutation: (request: VendorRequest) => boolean,
): Promise<HuaweiPart> {
  const folder = await temporaryFolder();
  const part = serverPart(server, isMutation);
  const poll = { pollInterval: { nanos: POLL_MS * 1_000_000 } };
  const huaweicloud = await withEndpoint(poll, server, folder.path);
  const endpoints = huaweicloud.projects[0]?.endpoints;
  // In a region that nobody knows every service has to be named.
  for (const service of ["cse", "dcs", "ddm"] as const) if (endpoints) endpoints[service] ||= "http://127.0.0.1:1";
  return {
    ...part,
    sections: { huaweicloud },
    secrets: server.account.keys.flatMap(({ secretKey, securityToken = secretKey }) => [secretKey, securityToken]),
    async [Symbol.asyncDispose]() {
      await part[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** The gateway's answer to a signature that it does not accept (contracts: huaweicloud, gateway codes). */
export const NOT_AUTHENTICATED: WireReply = {
  status: 401,
  headers: { "content-type": "application/json" },
  body: JSON.stringify({
    error_code: "APIGW.0301",
    error_msg: "Incorrect IAM authentication information",
    request_id: "5f1d0e6a",
  }),
};
