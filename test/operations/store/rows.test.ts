import { describe, expect, it } from "vitest";
import { createRows } from "../../../src/operations/store/rows.ts";
import { record } from "../records.ts";

describe("createRows()", () => {
  it("seals rows as it always has: stores that are there already were sealed so", () => {
    const rows = createRows(true);
    const operation = {
      name: "operations/1",
      requestId: "8c1c2f0e-0d5e-4a43-9a64-1f2f4a1e7a55",
      target: "targets/ü",
    };
    const ended = { response: "{}", warnings: ["A", "B"], sendTime: 5, endTime: 6, cancelRequested: true };
    const audit = { event: "permit", operation: "operations/1", time: 1, replica: "r", identity: "x" };
    const freeze = { name: "f", targets: ["a"], until: 5, message: "m", reason: "r", principal: "p", createTime: 2 };
    expect([
      rows.ofRecord(record(operation), 3).seal,
      rows.ofRecord(record({ ...operation, requestId: undefined, ...ended }), 0).seal,
      rows.ofAudit({ ...audit, from: "ACCEPTED", to: "SENDING" }).seal,
      rows.ofFreeze(freeze).seal,
    ]).toEqual([1814915235, 3650205713, 1208288627, 1051156213]);
  });
});
