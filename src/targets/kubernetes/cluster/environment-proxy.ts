import { BlockList, isIP } from "node:net";
import { isLoopbackHost } from "../../../core/loopback.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy that the environment says for an address, by the rules of Go's net/http, which kubectl follows: HTTPS_PROXY for https and
 * HTTP_PROXY for http (or their names in lower case), nothing for this machine and for what NO_PROXY names: `*`, addresses, CIDRs, hosts
 * with what is below them, `.example.com` for what is below alone, each but `*` and CIDRs with a port where wanted.
 *
 * @returns undefined where it says none. It need not be an address that can be used.
 */
export function environmentProxy(address: URL, environment: Environment): string | undefined {
  const secure = address.protocol === "https:";
  const proxy = variable(environment, secure ? "HTTPS_PROXY" : "HTTP_PROXY");
  const host = address.hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (proxy === "" || isLoopbackHost(host)) {
    return undefined;
  }
  const port = address.port || (secure ? "443" : "80");
  const exceptions = variable(environment, "NO_PROXY").toLowerCase().split(",");
  if (exceptions.some((exception) => matches(exception.trim(), host, port))) {
    return undefined;
  }
  // Go looks up names at a proxy of either scheme; undici has one of them, which does so.
  return proxy.includes("://") ? proxy.replace(/^socks5h:/i, "socks5:") : `http://${proxy}`;
}

const variable = (environment: Environment, name: string): string =>
  environment[name] || environment[name.toLowerCase()] || "";

function matches(exception: string, host: string, port: string): boolean {
  if (exception === "" || exception === "*") {
    return exception === "*";
  }
  const [network = "", bits = ""] = exception.split("/");
  if (bits !== "") {
    return isWithin(network, Number(bits), host);
  }
  const [, bracketed, plain, wanted = port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(exception) ?? [];
  const name = bracketed ?? plain ?? exception;
  if (name === "" || wanted !== port) {
    return false;
  }
  if (isIP(name) !== 0) {
    return isWithin(name, isIP(name) === 4 ? 32 : 128, host);
  }
  const below = name.replace(/^\*?(?=\.)/, "");
  return (
    isIP(host) === 0 && (below.startsWith(".") ? host.endsWith(below) : host === below || host.endsWith(`.${below}`))
  );
}

function isWithin(network: string, bits: number, host: string): boolean {
  const [kind, other] = [isIP(network), isIP(host)];
  if (kind === 0 || other === 0 || !Number.isInteger(bits) || bits > (kind === 4 ? 32 : 128)) {
    return false;
  }
  const list = new BlockList();
  list.addSubnet(network, bits, kind === 4 ? "ipv4" : "ipv6");
  return list.check(host, other === 4 ? "ipv4" : "ipv6");
}
