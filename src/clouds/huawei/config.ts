import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import type {
  Huaweicloud,
  HuaweicloudCredentials,
  HuaweicloudProject,
} from "../../../gen/restart/config/v1/huaweicloud_pb.ts";
import { type Secret, SecretSchema } from "../../../gen/restart/config/v1/secret_pb.ts";
import { lowerCaseId } from "../../core/lower-case-id.ts";
import type { FieldPath } from "../../core/problem.ts";
import { type GiveSecret, readSecret } from "../../core/secret.ts";
import type { SectionReader } from "../../core/section-reader.ts";
import { uniqueKeys } from "../../core/unique-keys.ts";
import { readCaFile } from "../ca-file.ts";
import { readKeyFile } from "./key-file.ts";
import { type Addressed, knownEndpoint } from "./regions.ts";

/** A service of Huawei Cloud that restartd speaks to: a target's name, and a word of its address. */
export type HuaweiService = "cse" | "dcs" | "ddm";

/** An access key: permanent, or temporary with a security token. */
export interface KeySettings {
  readonly kind: "key";
  /** AK. */
  readonly accessKey: GiveSecret;
  /** SK. */
  readonly secretKey: GiveSecret;
  /** Only of temporary credentials. */
  readonly securityToken: GiveSecret | undefined;
}

/** An access key in one file, so that its parts always belong together. */
export interface KeyFileSettings {
  readonly kind: "key file";
  /** The file's text, for `readKeyFile`. */
  readonly file: GiveSecret;
}

/** An IAM user, whose password is exchanged for tokens. */
export interface IamSettings {
  readonly kind: "iam";
  /** Address of IAM, without a slash at its end. */
  readonly endpoint: string;
  readonly username: string;
  /** Name of the account that the user belongs to. */
  readonly domain: string;
  readonly password: GiveSecret;
}

/** One project that requests can choose. */
export interface ProjectSettings {
  /** What requests call it, in lower case; unique. */
  readonly projectId: string;
  readonly region: string;
  readonly credentials: KeySettings | KeyFileSettings | IamSettings;
  /** Addresses of the services, without a slash at their end. */
  readonly endpoints: Readonly<Record<HuaweiService, string>>;
  /** PEM of the authorities that certificates are judged by; undefined stands for those that Node.js brings. */
  readonly ca: string | undefined;
}

/** What the section `huaweicloud` says. */
export interface HuaweicloudSettings {
  /** How often (ms) an instance or a job is looked at. */
  readonly pollIntervalMs: number;
  /** The projects, in the configuration's order. */
  readonly projects: readonly ProjectSettings[];
}

const DEFAULT_POLL_INTERVAL_MS = 10_000;

/**
 * Reads the section `huaweicloud`: every project once, its secrets and its authorities have to be there, and where its
 * services are has to be known, or said.
 *
 * @param section undefined stands for one without projects.
 * @param environment the process's variables.
 */
export function readHuaweicloud(
  section: Huaweicloud | undefined,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): HuaweicloudSettings {
  const refuseRepeated = uniqueKeys("project_id", reader);
  return {
    pollIntervalMs: section?.pollInterval === undefined ? DEFAULT_POLL_INTERVAL_MS : durationMs(section.pollInterval),
    projects: (section?.projects ?? []).flatMap((project, index) => {
      const path = ["huaweicloud", "projects", index];
      refuseRepeated(lowerCaseId(project.projectId), path);
      return readProject(project, path, reader, environment);
    }),
  };
}

/** One project, or none when something that it needs is not there. */
function readProject(
  { projectId, region, credentials, endpoints, ca: caFile }: HuaweicloudProject,
  path: FieldPath,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>>,
): ProjectSettings[] {
  const ca = caFile === "" ? undefined : readCaFile(caFile, [...path, "ca"], reader);
  const secret = (source: Secret | undefined, ...names: string[]) =>
    source && readSecret(source, [...path, "credentials", ...names], reader, environment);
  const addressOf = (service: Addressed, configured: string | undefined, ...names: string[]): string => {
    const address = configured || knownEndpoint(service, region);
    if (address === undefined && region !== "") {
      const sentence = `must be the address of ${service.toUpperCase()} in region ${region}, which restartd does not know for sure`;
      reader.problem([...path, ...names], `${sentence}; it is sent secrets, so that it is not guessed`);
    }
    return withoutSlash(address ?? "");
  };
  const isKey = (file: GiveSecret): boolean => {
    try {
      readKeyFile(file);
      return true;
    } catch (error) {
      const wrong = error instanceof Error ? error.message : "cannot be read";
      reader.problem([...path, "credentials", "file"], `must be a JSON file with access and secret, but it ${wrong}`);
      return false;
    }
  };
  const iamAt = (configured: string) => addressOf("iam", configured, "credentials", "iam", "endpoint");
  const who = readCredentials(credentials, secret, isKey, iamAt);
  const serviceAt = (service: HuaweiService) => addressOf(service, endpoints?.[service], "endpoints", service);
  const services = { cse: serviceAt("cse"), dcs: serviceAt("dcs"), ddm: serviceAt("ddm") };
  if (who === undefined || (caFile !== "" && ca === undefined)) {
    return []; // the schema, or a reader, has reported why
  }
  return [{ projectId: lowerCaseId(projectId), region, credentials: who, endpoints: services, ca }];
}

type FindSecret = (source: Secret | undefined, ...names: string[]) => GiveSecret | undefined;

/** Who we are; every secret is looked for, so that each that is missing is reported. */
function readCredentials(
  credentials: HuaweicloudCredentials | undefined,
  secret: FindSecret,
  isKey: (file: GiveSecret) => boolean,
  iamAt: (configured: string) => string,
): ProjectSettings["credentials"] | undefined {
  const accessKey = secret(credentials?.accessKey, "access_key");
  const secretKey = secret(credentials?.secretKey, "secret_key");
  const securityToken = secret(credentials?.securityToken, "security_token");
  const iam = credentials?.iam;
  const password = secret(iam?.password, "iam", "password");
  if (iam !== undefined) {
    const endpoint = iamAt(iam.endpoint);
    const { username, domain } = iam;
    return password === undefined ? undefined : { kind: "iam", endpoint, username, domain, password };
  }
  if (credentials?.file) {
    const file = secret(create(SecretSchema, { source: { case: "file", value: credentials.file } }));
    return file && isKey(file) ? { kind: "key file", file } : undefined;
  }
  if (
    accessKey === undefined ||
    secretKey === undefined ||
    (credentials?.securityToken !== undefined && securityToken === undefined)
  ) {
    return undefined;
  }
  return { kind: "key", accessKey, secretKey, securityToken };
}

const withoutSlash = (address: string): string => address.replace(/\/+$/, "");
