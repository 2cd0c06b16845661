import { describe, expect, test } from "vitest";
import { environmentProxy } from "../../../../src/targets/kubernetes/cluster/environment-proxy.ts";

const PROXY = "http://proxy.test:3128";
const proxyOf = (address: string, environment: Record<string, string>) =>
  environmentProxy(new URL(address), environment);

describe("environmentProxy()", () => {
  test.each<[string, string, Record<string, string>, string | undefined]>([
    ["HTTPS_PROXY for https", "https://k8s.test", { HTTPS_PROXY: PROXY, HTTP_PROXY: "http://other" }, PROXY],
    ["its name in lower case", "https://k8s.test", { https_proxy: PROXY }, PROXY],
    ["capitals before that", "https://k8s.test", { HTTPS_PROXY: PROXY, https_proxy: "http://other" }, PROXY],
    ["HTTP_PROXY not for https", "https://k8s.test", { HTTP_PROXY: PROXY, ALL_PROXY: PROXY }, undefined],
    ["HTTP_PROXY for http", "http://k8s.test", { HTTP_PROXY: PROXY }, PROXY],
    ["one without a scheme", "https://k8s.test", { HTTPS_PROXY: "proxy.test:3128" }, PROXY],
    ["socks5h", "https://k8s.test", { HTTPS_PROXY: "socks5h://proxy.test" }, "socks5://proxy.test"],
    ["an empty one", "https://k8s.test", { HTTPS_PROXY: "" }, undefined],
    ["localhost", "https://localhost:6443", { HTTPS_PROXY: PROXY }, undefined],
    ["127.0.0.2", "https://127.0.0.2", { HTTPS_PROXY: PROXY }, undefined],
    ["::1", "https://[::1]:6443", { HTTPS_PROXY: PROXY }, undefined],
  ])("%s", (_what, address, environment, proxy) => {
    expect(proxyOf(address, environment)).toBe(proxy);
  });

  test.each<[exceptions: string, address: string, direct: boolean]>([
    ["*", "https://k8s.test", true],
    ["k8s.test", "https://k8s.test", true],
    ["K8S.TEST", "https://k8s.test", true],
    ["other, k8s.test ,", "https://k8s.test", true],
    ["test", "https://k8s.test", true],
    ["8s.test", "https://k8s.test", false],
    [".k8s.test", "https://k8s.test", false],
    [".k8s.test", "https://a.k8s.test", true],
    ["*.k8s.test", "https://a.b.k8s.test", true],
    ["*.k8s.test", "https://k8s.test", false],
    ["k8s.test:6443", "https://k8s.test:6443", true],
    ["k8s.test:443", "https://k8s.test", true],
    ["k8s.test:6443", "https://k8s.test", false],
    ["10.0.0.1", "https://10.0.0.1:6443", true],
    ["10.0.0.1:443", "https://10.0.0.1:6443", false],
    ["10.0.0.1", "https://10.0.0.11", false],
    ["10.0.0.0/8", "https://10.1.2.3", true],
    ["10.0.0.0/8", "https://11.1.2.3", false],
    ["10.0.0.0/8", "https://k8s.test", false],
    ["10.0.0.0/99", "https://10.1.2.3", false],
    ["fd00::/8", "https://[fd00::1]:6443", true],
    ["fd00::1", "https://[fd00::1]", true],
    ["[fd00::1]:6443", "https://[fd00::1]:6443", true],
    ["[fd00::1]:6443", "https://[fd00::1]", false],
    ["0.1", "https://10.0.0.1", false],
    [":6443", "https://k8s.test:6443", false],
    ["", "https://k8s.test", false],
  ])("NO_PROXY=%s for %s", (exceptions, address, direct) => {
    expect(proxyOf(address, { HTTPS_PROXY: PROXY, NO_PROXY: exceptions })).toBe(direct ? undefined : PROXY);
    expect(proxyOf(address, { HTTPS_PROXY: PROXY, no_proxy: exceptions })).toBe(direct ? undefined : PROXY);
  });
});
