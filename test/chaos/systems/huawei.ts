import { SANDBOX_KEY, SANDBOX_PROJECT_ID } from "../../../src/clouds/huawei/simulator/account.ts";
import { backendTimeout, throttled } from "../../../src/clouds/huawei/simulator/replies.ts";
import type { VendorReply } from "../../../src/clouds/simulator/exchange.ts";
import type { Replies } from "../mischief.ts";
import type { Sections } from "../system.ts";

/** The one project. */
export const PROJECT_ID = SANDBOX_PROJECT_ID;

/** How the gateway says what must not be believed. */
export const REPLIES: Replies<VendorReply> = {
  serverError: backendTimeout(),
  throttled: throttled({ "retry-after": "1" }),
};

/** What the configuration of {@link withService} names. */
export const ENV = { CHAOS_AK: SANDBOX_KEY.accessKey, CHAOS_SK: SANDBOX_KEY.secretKey };

/** In a region that nobody knows every service has to be named. */
const NOWHERE = { cse: "http://127.0.0.1:1", dcs: "http://127.0.0.1:1", ddm: "http://127.0.0.1:1" };

/** Adds a service of the project. */
export function withService(sections: Sections, service: "cse" | "dcs" | "ddm", url: string): Sections {
  const { projects: [project] = [] } = (sections.huaweicloud ?? {}) as { projects?: { endpoints: object }[] };
  return {
    ...sections,
    huaweicloud: {
      poll_interval: "0.1s",
      projects: [
        {
          project_id: PROJECT_ID,
          region: "sandbox-1",
          credentials: { access_key: { env: "CHAOS_AK" }, secret_key: { env: "CHAOS_SK" } },
          endpoints: { ...NOWHERE, ...project?.endpoints, [service]: url },
        },
      ],
    },
  };
}
