import { create } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { type Arcgis, ArcgisSchema, type ArcgisSite } from "../../../gen/restart/config/v1/arcgis_pb.ts";
import { readCaFile } from "../../clouds/ca-file.ts";
import type { FieldPath } from "../../core/problem.ts";
import { type GiveSecret, readSecret } from "../../core/secret.ts";
import type { SectionReader } from "../../core/section-reader.ts";
import { uniqueKeys } from "../../core/unique-keys.ts";

/** One site that requests can choose. */
export interface SiteSettings {
  /** What requests call it; unique. */
  readonly name: string;
  /** Root of its Administrator API, without a slash at the end. */
  readonly adminUrl: string;
  /** Where it gives tokens. */
  readonly tokenUrl: string;
  /** What its tokens are bound to, and every request says: the address above `adminUrl`. */
  readonly referer: string;
  /** Who we are there. */
  readonly username: string;
  readonly password: GiveSecret;
  /** PEM of the authorities that its certificate is judged by; undefined: those that Node.js brings. */
  readonly ca: string | undefined;
}

/** What the section `arcgis` says. */
export interface ArcgisSettings {
  /** How often (ms) a job is looked at. */
  readonly pollIntervalMs: number;
  /** The sites, in the configuration's order. */
  readonly sites: readonly SiteSettings[];
}

const DEFAULT_POLL_INTERVAL_MS = 5_000;

/**
 * Reads the section `arcgis`: names have to be unique, secrets and certificates to be there.
 *
 * @param section undefined stands for one without sites.
 * @param environment the process's variables.
 */
export function readArcgis(
  section: Arcgis | undefined,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): ArcgisSettings {
  const { sites, pollInterval } = section ?? create(ArcgisSchema);
  const refuseRepeated = uniqueKeys("name", reader);
  return {
    pollIntervalMs: pollInterval === undefined ? DEFAULT_POLL_INTERVAL_MS : durationMs(pollInterval),
    sites: sites.flatMap((site, index) => {
      const path = ["arcgis", "sites", index];
      refuseRepeated(site.name, path);
      const settings = readSite(site, path, reader, environment);
      return settings === undefined ? [] : [settings];
    }),
  };
}

function readSite(
  site: ArcgisSite,
  path: FieldPath,
  reader: SectionReader,
  environment: Readonly<Record<string, string | undefined>>,
): SiteSettings | undefined {
  const password = site.password && readSecret(site.password, [...path, "password"], reader, environment);
  const ca = site.ca === "" ? undefined : readCaFile(site.ca, [...path, "ca"], reader);
  const adminUrl = site.adminUrl.replace(/\/+$/, "");
  if (password === undefined || !URL.canParse(adminUrl)) {
    return undefined; // the reader has been told why, or the schema wants it and has reported this
  }
  const root = new URL(".", adminUrl);
  return {
    name: site.name,
    adminUrl,
    tokenUrl: site.tokenUrl === "" ? new URL("sharing/rest/generateToken", root).href : site.tokenUrl,
    referer: root.href.replace(/\/$/, ""),
    username: site.username,
    password,
    ca,
  };
}
