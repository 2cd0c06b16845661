import { isIPv6 } from "node:net";
import { isLoopbackHost } from "../core/loopback.ts";

/** Whether a Host header, with or without a port, names this server. */
export type IsOurs = (header: string) => boolean;

/**
 * Knows the names of this server.
 *
 * @param names with which callers may call it; `*.` stands for one label, as in a certificate. None: those of loopback.
 */
export function createHosts(names: readonly string[]): IsOurs {
  const known: ReadonlySet<string> = new Set(names.map(plain));
  const isKnown = (host: string): boolean => known.has(host) || known.has(host.replace(/^[^.]+\./, "*."));
  return (header) => {
    const [, host = "", port = "0"] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(header) ?? [];
    if (host === "" || Number(port) > 65535) return false;
    return names.length === 0 ? isLoopbackHost(host) : isKnown(plain(host));
  };
}

/** A host as it is compared: in lower case, without brackets and the dot of a full name, an IPv6 address in its short form. */
function plain(host: string): string {
  const bare = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, "$1")
    .replace(/\.$/, "");
  return isIPv6(bare) ? new URL(`http://[${bare}]`).hostname.slice(1, -1) : bare;
}
