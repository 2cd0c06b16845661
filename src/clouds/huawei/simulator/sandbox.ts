import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { clone, create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Huaweicloud,
  HuaweicloudEndpointsSchema,
  type HuaweicloudProject,
  HuaweicloudProjectSchema,
  HuaweicloudSchema,
} from "../../../../gen/restart/config/v1/huaweicloud_pb.ts";
import type { Account } from "./account.ts";
import type { HuaweiServer } from "./gateway.ts";

/** How often (ms) the sandbox's jobs are looked at: they take a few seconds. */
const POLL_INTERVAL_MS = 500;

/**
 * Adds a service to the section `huaweicloud` that the sandbox works with: the three targets that share it each add theirs.
 *
 * @param section what the targets before have made of it; undefined for the first.
 * @param server its account's first key is what the section says.
 * @param folder where the key's files are written; removed with the sandbox.
 */
export async function withEndpoint(
  section: MessageInitShape<typeof HuaweicloudSchema> | undefined,
  { service, url, account }: Pick<HuaweiServer, "service" | "url" | "account">,
  folder: string,
): Promise<Huaweicloud> {
  const whole = clone(HuaweicloudSchema, create(HuaweicloudSchema, section ?? {}));
  whole.pollInterval ??= durationFromMs(POLL_INTERVAL_MS);
  let project = whole.projects.find(({ projectId }) => projectId === account.projectId);
  if (project === undefined) {
    project = await newProject(account, folder);
    whole.projects.push(project);
  }
  project.endpoints ??= create(HuaweicloudEndpointsSchema);
  project.endpoints[service] = url;
  return whole;
}

/** The account's project, with its first key in files. */
async function newProject({ projectId, region, keys }: Account, folder: string): Promise<HuaweicloudProject> {
  const [key] = keys;
  if (key === undefined) throw new Error("the account has no key");
  const secret = async (name: string, value: string) => {
    const file = join(folder, `huaweicloud-${name}`);
    await writeFile(file, value, { mode: 0o600 });
    return { source: { case: "file" as const, value: file } };
  };
  return create(HuaweicloudProjectSchema, {
    projectId,
    region,
    credentials: {
      accessKey: await secret("access-key", key.accessKey),
      secretKey: await secret("secret-key", key.secretKey),
      ...(key.securityToken !== undefined && { securityToken: await secret("security-token", key.securityToken) }),
    },
  });
}
