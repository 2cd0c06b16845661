import { describe, expect, it } from "vitest";
import { readAppendOnly, readInstance, readPage, readResult } from "../../../src/targets/dcs/answers.ts";
import { riskByAppendOnly, riskByNodes } from "../../../src/targets/dcs/guards.ts";
import { CLUSTER } from "./support.ts";

const instance = (fields: Record<string, unknown>) => {
  const read = readInstance({ instance_id: CLUSTER, status: "RUNNING", ...fields });
  if (read === undefined) throw new Error("it cannot be read");
  return read;
};

describe("riskByNodes()", () => {
  it.each([
    [{ cache_mode: "single", replica_count: 1 }, "it has a single node"],
    [{ cache_mode: "single" }, "it has a single node"],
    [{ cache_mode: "cluster", replica_count: 1 }, "it has a single replica"],
    [{ cache_mode: "proxy", replica_count: 1 }, "it has a single replica"],
    [{ cache_mode: "cluster", replica_count: "2" }, "how many nodes it has is not known"],
    [{ cache_mode: "ha" }, undefined],
    [{ cache_mode: "ha", replica_count: 1 }, "it has a single replica"],
    [{ cache_mode: null, replica_count: 2 }, "how many nodes it has is not known"],
    [{ cache_mode: "ha", replica_count: 2 }, undefined],
    [{ cache_mode: "ha_rw_split", replica_count: 3 }, undefined],
  ])("of %j: %s", (fields, risk) => {
    expect(riskByNodes(instance(fields))).toBe(risk);
  });
});

describe("riskByAppendOnly()", () => {
  it("takes what is not known for the worst", () => {
    expect(riskByAppendOnly(true)).toBeUndefined();
    expect(riskByAppendOnly(false)).toBe("it writes no append-only file (appendonly is no)");
    expect(riskByAppendOnly(undefined)).toBe("whether it writes an append-only file (appendonly) could not be read");
  });
});

describe("what the vendor answers", () => {
  it("is read strictly", () => {
    expect(instance({ task: null, replica_count: 2 ** 40, update_at: 7 })).toMatchObject({
      task: "",
      replicaCount: undefined,
      updateAt: undefined,
    });
    // Something is under way, whatever it is called.
    for (const task of [{ name: "RESTARTING" }, 7, true]) expect(instance({ task })?.task).not.toBe("");
    for (const wrong of [undefined, null, [], "RUNNING", { instance_id: CLUSTER }, { status: "RUNNING" }]) {
      expect(readInstance(wrong)).toBeUndefined();
    }
    expect(readPage({ instances: [], instance_num: "7" })).toEqual({ instances: [], total: undefined });
    expect(readAppendOnly({ redis_config: [null, { param_name: "appendonly", param_value: "yes" }] })).toBe(true);
    expect(readAppendOnly({ redis_config: [{ param_name: "appendonly", param_value: true }] })).toBeUndefined();
  });

  it("is matched by its instance, wherever that stands", () => {
    const results = [
      { instance: "another", result: "success" },
      { instance: CLUSTER, result: "failed" },
    ];
    expect(readResult({ results }, CLUSTER)).toBe("failed");
    expect(readResult({ results: results.toReversed() }, CLUSTER)).toBe("failed");
    expect(readResult({ results: [...results, ...results] }, CLUSTER)).toBeUndefined();
  });
});
