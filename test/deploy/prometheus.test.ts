import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { createMetrics } from "../../src/admin/metrics.ts";
import { need } from "../e2e/tools.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: { readonly severity?: string };
  readonly annotations?: { readonly summary?: string; readonly runbook_url?: string };
}

const rules = (parse(read("deploy/prometheus/rules.yaml")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const alerts = rules.filter((rule) => rule.alert !== undefined);

/** Every metric that the program has, as it tells them itself. */
const rendered = await createMetrics({
  build: { version: "0", node: "0", commit: "" },
  configSha256: "",
  summary: () => Promise.reject(new Error("no store")),
  now: () => new Date(0),
  monotonic: () => 0,
}).render(false);
const metrics = new Set([...rendered.body.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));

/** Names of metrics in a query: without functions, labels, label names and what other systems tell. */
function metricsIn(expr: string): string[] {
  const names = expr.match(/\b(?:restartd|nodejs|process)_[a-z0-9_]+(?![a-z0-9_]*\s*\()/g) ?? [];
  return names.map((name) => name.replace(/_(?:bucket|sum|count)$/, (suffix) => (metrics.has(name) ? suffix : "")));
}

describe("deploy/prometheus/rules.yaml", () => {
  it("asks for metrics that there are", () => {
    for (const { expr } of rules) expect(metricsIn(expr).filter((name) => !metrics.has(name))).toEqual([]);
    expect(metricsIn('rate(restartd_nonsense_total{a="b"}[5m])')).toEqual(["restartd_nonsense_total"]);
  });

  it("has a severity, a summary and a heading of the runbook for each alert", () => {
    const headings = new Set([...read("docs/operations/runbook.md").matchAll(/^## (.+)$/gm)].map(([, name]) => name));
    for (const { alert = "", labels, annotations } of alerts) {
      expect(["critical", "warning", "info"]).toContain(labels?.severity);
      expect(annotations?.summary).not.toBe("");
      expect(annotations?.runbook_url?.endsWith(`#${alert.toLowerCase()}`)).toBe(true);
      expect(headings).toContain(alert);
    }
    expect([...headings].filter((heading) => !alerts.some(({ alert }) => alert === heading))).toEqual([]);
  });

  const promtool = need("promtool");
  it.skipIf(promtool.missing)("fires and is silent as it should", () => {
    const folder = new URL("../../deploy/prometheus/", import.meta.url);
    execFileSync(promtool.path, ["check", "rules", "rules.yaml"], { cwd: folder });
    execFileSync(promtool.path, ["test", "rules", "rules.test.yaml"], { cwd: folder });
    const cases = (
      parse(read("deploy/prometheus/rules.test.yaml")) as { tests: { alert_rule_test: { alertname: string }[] }[] }
    ).tests;
    const tested = cases.flatMap((one) => one.alert_rule_test.map(({ alertname }) => alertname));
    for (const { alert } of alerts) expect(tested.filter((name) => name === alert).length).toBeGreaterThanOrEqual(2);
  });

  it.skipIf(promtool.missing)("has metrics that promtool finds no fault with", () => {
    const own = rendered.body.split("\n").filter((line) => /^(# (HELP|TYPE) )?restartd_/.test(line));
    const checked = spawnSync(promtool.path, ["check", "metrics"], { input: `${own.join("\n")}\n`, encoding: "utf8" });
    expect(checked.stderr + checked.stdout).toBe("");
  });
});

describe("deploy/grafana/restartd.json", () => {
  it("shows metrics that there are, of one data source", () => {
    const dashboard = JSON.parse(read("deploy/grafana/restartd.json")) as {
      panels: { type: string; title: string; datasource?: { uid: string }; targets?: { expr: string }[] }[];
    };
    const panels = dashboard.panels.filter(({ type }) => type !== "row");
    for (const { datasource, targets = [] } of panels) {
      expect(datasource?.uid).toMatch(/^\$\{datasource\}$/);
      for (const { expr } of targets) {
        const names = metricsIn(expr);
        expect(names).not.toEqual([]);
        expect(names.filter((name) => !metrics.has(name))).toEqual([]);
      }
    }
    const rows = dashboard.panels.filter(({ type }) => type === "row").map(({ title }) => title);
    expect(rows).toEqual(["Calls", "Operations", "Systems", "Store", "Process"]);
    const shown = new Set(panels.flatMap(({ targets = [] }) => targets.flatMap(({ expr }) => metricsIn(expr))));
    expect([...metrics].filter((name) => name?.startsWith("restartd_") && !shown.has(name ?? ""))).toEqual([]);
  });
});
