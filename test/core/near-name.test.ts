import { describe, expect, it } from "vitest";
import { nearName } from "../../src/core/near-name.ts";

const KEYS = ["listen", "cors", "deadline", "kubernetes", "field_manager"];

describe("nearName()", () => {
  it.each([
    ["fieldManager", "field_manager"],
    ["FIELD-MANAGER", "field_manager"],
    ["listne", "listen"],
    ["listens", "listen"],
    ["lsten", "listen"],
    ["kubernets", "kubernetes"],
    ["cros", "cors"],
    ["deadlnes", "deadline"],
  ])("takes %s for %s", (name, meant) => {
    expect(nearName(name, KEYS)).toBe(meant);
  });

  it.each(["", "x", "k8s", "store", "log_level", "manager"])("takes %j for nothing", (name) => {
    expect(nearName(name, KEYS)).toBeUndefined();
  });

  it("takes the nearest, and the first of two that are as near", () => {
    expect(nearName("reader", ["leader", "readers", "header"])).toBe("leader");
    expect(nearName("headers", ["readers", "header", "headers"])).toBe("headers");
  });
});
