import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const HEAP = join(import.meta.dirname, "../src/heap.ts");

/** Bytes of the young generation of a process that has made much that lives for a while. */
function youngBytes({ bound, flags = [] }: { bound: boolean; flags?: readonly string[] }): number {
  const script = `
    import { getHeapSpaceStatistics } from "node:v8";
    import { boundHeap } from ${JSON.stringify(HEAP)};
    if (${bound}) boundHeap();
    const kept = [];
    for (let index = 0; index < 300_000; index++) kept[index % 30_000] = new Array(200).fill(index);
    console.log(getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size);`;
  const args = [...flags, "--input-type=module", "--eval", script];
  return Number(execFileSync(process.execPath, args, { encoding: "utf8" }));
}

const MIB = 1 << 20;

describe("boundHeap()", () => {
  test("has the young generation grow to 8 MiB, and no further", () => {
    expect(youngBytes({ bound: true })).toBe(8 * MIB);
    expect(youngBytes({ bound: false })).toBeGreaterThan(8 * MIB);
  });

  test("leaves what the command line says", () => {
    expect(youngBytes({ bound: true, flags: ["--min-semi-space-size=16"] })).toBe(32 * MIB);
    expect(youngBytes({ bound: true, flags: ["--max-semi-space-size=1"] })).toBe(2 * MIB);
  });
});
