import type { Config as Sections } from "../../gen/restart/config/v1/config_pb.ts";
import { isLoopbackHost } from "../core/loopback.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { readTls, type TlsSettings } from "./tls.ts";

/** How callers reach the server. */
export interface NetworkSettings {
  readonly tls: TlsSettings | undefined;
  /** Names that they may use for it; empty: those of loopback. */
  readonly hosts: readonly string[];
}

/** What reading the sections takes beside them. */
export interface NetworkOptions {
  /** The wall clock, in epoch ms. */
  readonly now: () => number;
  /** The host that is listened on. */
  readonly host: string;
  /** Reports a mistake in where it listens. */
  readonly listenProblem: (message: string) => void;
}

/** Reads who can reach the server and how: whatever lets strangers in, or be read along, is a mistake. */
export function readNetwork(
  { tls: section, hosts, authentication }: Sections,
  reader: SectionReader,
  { now, host, listenProblem }: NetworkOptions,
): NetworkSettings {
  const tls = readTls(section, reader, new Date(now()));
  if (!isLoopbackHost(host)) {
    if (authentication === undefined) {
      listenProblem(
        "must be a loopback address (127.0.0.0/8, [::1] or localhost) as long as calls are not authenticated",
      );
    } else if (section === undefined) {
      listenProblem("must be a loopback address as long as there is no tls: tokens would be sent in clear");
    }
  }
  if (section?.terminatedByProxy) {
    if (authentication === undefined) {
      reader.problem(["tls", "terminated_by_proxy"], "must have authentication beside it: the proxy lets others in");
    }
    if (hosts.length === 0) {
      reader.problem(
        ["tls", "terminated_by_proxy"],
        "must have hosts beside it, the names that callers use for the proxy",
      );
    }
  }
  const names = hosts.length > 0 || tls?.kind !== "certificate" ? hosts : tls.names;
  if (tls?.kind === "certificate" && names.length === 0) {
    reader.problem(["tls", "certificate"], "must be for some name of a host, or have hosts beside it");
  }
  return { tls, hosts: names };
}
