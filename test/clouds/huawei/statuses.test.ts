import { expect, it } from "vitest";
import { isTransient } from "../../../src/clouds/huawei/statuses.ts";

it.each([
  ["RUNNING", false],
  ["RESTARTING", true],
  ["SCALING", true],
  ["Upgrading", true],
  ["CREATE_DATABASE", true],
  ["DROP_DATABASE", true],
  ["MODIFY_PORT", true],
  ["SET_CONFIGURATION", true],
  ["CREATE_FAILED", false],
  ["RESIZE_ROLL_FAILED", false],
  ["UNFREEZING_FAILED", false],
  ["CREATEFAILED", false],
  ["FROZEN", false],
  ["Available", false],
  ["", false],
])("isTransient(%s) is %s", (status, transient) => {
  expect(isTransient(status)).toBe(transient);
});
