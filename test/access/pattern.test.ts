import { describe, expect, it } from "vitest";
import { permissionPattern } from "../../src/access/pattern.ts";
import { callerPattern } from "../../src/core/caller-pattern.ts";
import { canMatch, type Matches, targetIndex, targetPattern } from "../../src/core/target-pattern.ts";

const WEB = "clusters/prod/apps/v1/namespaces/shop/deployments/web";

const UUID = "e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1";

/** A pattern, a name, and whether the one means the other. */
type Row = readonly [pattern: string, name: string, matches: boolean];

const TARGETS: readonly Row[] = [
  ["**", WEB, true],
  ["**", "store", true],
  ["*", "store", true],
  ["*", "clusters/prod", false],
  ["clusters/**", WEB, true],
  ["clusters/**", "clusters", false],
  ["clusters/prod/**", WEB, true],
  ["clusters/prod/**", "clusters/prod", false],
  ["clusters/prod/**", WEB.replace("prod", "prod-eu"), false],
  ["clusters/prod/**", WEB.replace("prod", "pro"), false],
  ["clusters/prod/**", WEB.replace("prod", "Prod"), false],
  ["clusters/prod/*/*/namespaces/shop/**", WEB, true],
  ["clusters/prod/*/*/namespaces/shop/**", WEB.replace("shop", "shop2"), false],
  ["clusters/prod/*/*/namespaces/shop/**", "clusters/prod/-/-/namespaces/shop/-/-", true],
  ["clusters/prod/*/*/namespaces/shop/**", "clusters/prod/-/-/namespaces/-/-/-", false],
  ["clusters/*/apps/v1/namespaces/shop/deployments/web", WEB, true],
  ["clusters/*/apps/v1/namespaces/shop/deployments/web", `${WEB}/more`, false],
  ["clusters/*", "clusters/prod", true],
  ["clusters/*", WEB, false],
  ["clusters/a%2Fb", "clusters/a%2Fb", true],
  ["clusters/a%2Fb", "clusters/a/b", false],
  ["clusters/*/b", "clusters/a%2Fb", false],
  ["projects/p/dcs/instances/*", "projects/p/dcs/instances", false],
  [`projects/${UUID.toUpperCase()}/**`, `projects/${UUID}/dcs/instances/a`, true],
  [`projects/p/dcs/instances/${UUID}`, `projects/p/dcs/instances/${UUID.toUpperCase()}`, true],
  ["projects/P/**", "projects/p/dcs/instances/a", false],
  [`clusters/${UUID.toUpperCase()}/**`, `clusters/${UUID}/a`, false],
  ["sites/gis.eu/**", "sites/gisxeu/deployments/a", false],
];

const verdicts = (rows: readonly Row[], read: (pattern: string) => Matches): boolean[] =>
  rows.map(([pattern, name]) => read(pattern)(name));

const understood =
  (read: typeof targetPattern) =>
  (text: string): Matches => {
    const pattern = read(text);
    if (pattern.wrong !== undefined) throw new Error(`${text}: ${pattern.wrong}`);
    return pattern.matches;
  };

describe("targetPattern()", () => {
  it.each(TARGETS)("%s and %s: %s", (pattern, name, expected) => {
    expect(understood(targetPattern)(pattern)(name)).toBe(expected);
  });

  it.each([
    ["", /empty segment/],
    ["clusters//a", /empty segment/],
    ["clusters/prod/", /empty segment/],
    ["/clusters/prod", /empty segment/],
    ["clusters/shop*", /no other wildcard/],
    ["clusters/*shop", /no other wildcard/],
    ["clusters/***", /no other wildcard/],
    ["**/web", /only at its end/],
    ["clusters/**/web", /only at its end/],
    ["clusters/a b", /must be percent-encoded as names are: a%20b in place of a b/],
    ["clusters/a%2fb", /a%2Fb in place of a%2fb/],
    ["clusters/%61", /a in place of %61/],
    ["clusters/%zz", /percent-encoded/],
    ["clusters/%E0%A4%A", /percent-encoded/],
  ])("does not take %j", (pattern, wrong) => expect(targetPattern(pattern).wrong).toMatch(wrong));

  it("would be found out if it compared beginnings, in any of the ways that suggest themselves", () => {
    const expected = TARGETS.map(([, , matches]) => matches);
    const beginning = (pattern: string) => (name: string) => name.startsWith(pattern.replace(/\/?\*+.*$/, ""));
    const glob = (pattern: string) => {
      const regex = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll(/\*+/g, ".*")}$`);
      return (name: string) => regex.test(name);
    };
    const decoding = (pattern: string) => (name: string) =>
      understood(targetPattern)(pattern)(decodeURIComponent(name));
    const anyCase = (pattern: string) => (name: string) => understood(targetPattern)(pattern)(name.toLowerCase());
    for (const wrong of [beginning, glob, decoding, anyCase]) expect(verdicts(TARGETS, wrong)).not.toEqual(expected);
    expect(verdicts(TARGETS, understood(targetPattern))).toEqual(expected);
  });
});

describe("targetIndex()", () => {
  const patterns = [...new Set(TARGETS.map(([pattern]) => pattern))];

  it("finds those patterns that mean a name, as they do one by one", () => {
    const find = targetIndex(patterns.map((pattern) => [pattern]));
    for (const name of [...TARGETS.map(([, target]) => target), "clusters/**", "clusters/*", "", "clusters//a", "/"]) {
      const alone = patterns.flatMap((pattern, at) => (understood(targetPattern)(pattern)(name) ? [at] : []));
      expect(find(name)).toEqual(alone);
    }
  });

  it("finds a list once, whichever of its patterns mean a name, and lists in their order", () => {
    const find = targetIndex([["store"], ["clusters/**", "clusters/prod", "**"], [], ["**"], ["clusters/*"]]);
    expect(find("clusters/prod")).toEqual([1, 3, 4]);
    expect(find("clusters/**")).toEqual([1, 3]);
    expect(find("clusters/")).toEqual([]);
  });
});

describe("permissionPattern()", () => {
  it.each<Row>([
    ["*", "kubernetes.workloads.restart", true],
    ["*", "store.backup", true],
    ["kubernetes.workloads.restart", "kubernetes.workloads.restart", true],
    ["kubernetes.workloads.restart", "kubernetes.workloads.restarts", false],
    ["kubernetes.*", "kubernetes.workloads.restart", true],
    ["kubernetes.*", "kubernetes", false],
    ["kubernetes.*", "kubernetesx.workloads.get", false],
    ["kubernetes.workloads.*", "kubernetes.clusters.get", false],
    ["*.restart", "kubernetes.workloads.restart", true],
    ["*.restart", "dcs.instances.restart", true],
    ["*.restart", "restart", false],
    ["*.get", "operations.get", true],
    ["dcs.*.restart", "dcs.instances.restart", true],
    ["dcs.*.restart", "dcs.restart", false],
    ["dcs.*.restart", "dcs.a.b.restart", false],
    ["kubernetes.*.*", "kubernetes.workloads.restart", true],
  ])("%s and %s: %s", (pattern, name, expected) => {
    expect(understood(permissionPattern)(pattern)(name)).toBe(expected);
  });

  it.each([
    "",
    ".",
    "kubernetes.",
    ".get",
    "kubernetes.**",
    "kube*.get",
    "Kubernetes.*",
    "a..b",
    "kubernetes.work-loads.get",
    "a b",
  ])("does not take %j", (pattern) => expect(permissionPattern(pattern).wrong).toBeDefined());
});

describe("callerPattern()", () => {
  it.each<Row>([
    ["okta:ann", "okta:ann", true],
    ["okta:ann", "okta:anna", false],
    ["okta:ann", "okta:Ann", false],
    ["okta:ann", "github:ann", false],
    ["okta:*", "okta:ann", true],
    ["okta:*", "okta2:ann", false],
    ["okta:*", "anonymous", false],
    ["github:repo:acme/*", "github:repo:acme/shop:environment:prod", true],
    ["github:repo:acme/*", "github:repo:acme2/shop", false],
    ["okta:a.n", "okta:axn", false],
    ["okta:a*b", "okta:a*b", true],
    ["okta:a*b", "okta:axb", false],
  ])("%s and %s: %s", (pattern, name, expected) => {
    expect(understood(callerPattern)(pattern)(name)).toBe(expected);
  });

  it.each(["", "*", "okta", "okta:", ":ann", "ann*"])("does not take %j", (pattern) => {
    expect(callerPattern(pattern).wrong).toMatch(/AUTHENTICATOR/);
  });
});

describe("canMatch()", () => {
  const TEMPLATE = "sites/{site}/deployments/{deployment_id}";
  it.each([
    ["**", true],
    ["sites/**", true],
    ["sites/gis/deployments/*", true],
    ["sites/gis/deployments/**", true],
    ["sites/gis/deploymentz/*", false],
    ["sites/gis", false],
    ["sites/gis/deployments/a/**", false],
    ["site/**", false],
  ])("%s: %s", (pattern, expected) => expect(canMatch(pattern, TEMPLATE)).toBe(expected));
});
