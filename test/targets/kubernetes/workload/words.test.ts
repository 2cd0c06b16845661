import { describe, expect, it } from "vitest";
import { formatSelector, selects } from "../../../../src/targets/kubernetes/workload/selector.ts";
import { inARow, told } from "../../../../src/targets/kubernetes/workload/words.ts";

describe("told()", () => {
  const secret = "s3cr3t";
  it.each([
    [`spec.x: Invalid value: "${secret}": must be short`, "spec.x: Invalid value: must be short"],
    [`a: Unsupported value: "a\\"${secret}": supported values: "b"`, 'a: Unsupported value: supported values: "b"'],
    [`t: Invalid value: core.PodTemplateSpec{Env: ${secret}}: field is immutable`, "t: Invalid value"],
    [`Post "https://svc.ns.svc:443/v?token=${secret}": refused`, 'Post "(address)": refused'],
    [`git+ssh://u:${secret}@host/x failed`, "(address) failed"],
    ["two\nlines\u001b[31m", "two lines [31m"],
    ["", ""],
    [undefined, ""],
  ])("%j", (sentence, expected) => {
    expect(told(sentence)).toBe(expected);
    expect(told(sentence)).not.toContain(secret);
  });

  it("is not endless", () => {
    expect(told("x".repeat(10_000))).toBe(`${"x".repeat(400)}...`);
  });
});

describe("inARow()", () => {
  it("leaves out what is empty", () => {
    expect(inARow("a", "", undefined, "b")).toBe("a; b");
    expect(inARow()).toBe("");
  });
});

describe("a label selector", () => {
  const labels = { app: "web", tier: "front" };
  it.each([
    [{ matchLabels: { app: "web" } }, "app in (web)", true],
    [{ matchLabels: { app: "api" } }, "app in (api)", false],
    [{ matchExpressions: [{ key: "tier", operator: "In", values: ["front", "back"] }] }, "tier in (front,back)", true],
    [{ matchExpressions: [{ key: "tier", operator: "NotIn", values: ["front"] }] }, "tier notin (front)", false],
    [{ matchExpressions: [{ key: "zone", operator: "NotIn", values: ["a"] }] }, "zone notin (a)", true],
    [{ matchExpressions: [{ key: "tier", operator: "Exists" }] }, "tier", true],
    [{ matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] }, "!tier", false],
    [
      { matchLabels: { app: "web" }, matchExpressions: [{ key: "zone", operator: "DoesNotExist", values: null }] },
      "app in (web),!zone",
      true,
    ],
    [{}, "", true],
    [{ matchExpressions: [{ key: "n", operator: "Gt", values: ["1"] }] }, undefined, false],
  ])("%j", (selector, text, chosen) => {
    expect(formatSelector(selector)).toBe(text);
    expect(selects(selector, labels)).toBe(chosen);
  });
});
