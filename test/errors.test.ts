import { readFileSync } from "node:fs";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { REASONS } from "../src/core/errors.ts";

/** Rows of the document: reason, code, details, what to do. */
const documented = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8")
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter(([, reason]) => /^[A-Z][A-Z_]+( \*)?$/.test(reason ?? ""))
  .map(([, reason = "", code = "", , advice = ""]) => ({ reason: reason.replace(" *", ""), code, advice }));

/** google.rpc.Code's name of a connect code. */
const nameOf = (code: Code): string => Code[code].replaceAll(/(?<=[a-z])([A-Z])/g, "_$1").toUpperCase();

describe("docs/errors.md", () => {
  it("lists the reasons that there are, each once", () => {
    expect(documented.map(({ reason }) => reason).sort()).toEqual(Object.keys(REASONS).sort());
  });

  it.each(Object.entries(REASONS))("gives %s its code", (reason, code) => {
    const second = reason === "OUTCOME_UNKNOWN" ? " or DEADLINE_EXCEEDED" : "";
    expect(documented.find((row) => row.reason === reason)?.code).toBe(`${nameOf(code)}${second}`);
  });

  it("says for each what to do", () => {
    expect(documented.filter(({ advice }) => advice === "")).toEqual([]);
  });
});
