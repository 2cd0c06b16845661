import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";

const HEAP = join(import.meta.dirname, "../src/heap.ts");

/** Bytes of the young generation of a process at its start, and once it has made much that lives for a while. */
function youngBytes({ bound, flags = [] }: { bound: boolean; flags?: readonly string[] }) {
  const script = `
    import { getHeapSpaceStatistics } from "node:v8";
    import { boundHeap } from ${JSON.stringify(HEAP)};
    const size = () => getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size;
    if (${bound}) boundHeap();
    const before = size();
    const kept = [];
    for (let index = 0; index < 300_000; index++) kept[index % 30_000] = new Array(200).fill(index);
    console.log(JSON.stringify({ before, after: size() }));`;
  const args = [...flags, "--input-type=module", "--eval", script];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as { before: number; after: number };
}

const MIB = 1 << 20;

// V8 has one half of it, or both, just as it has come to collect: on a busy machine other than on one that is not.
describe("boundHeap()", () => {
  test("has the young generation grow to 8 MiB, and no further", () => {
    const bounded = youngBytes({ bound: true });
    for (const bytes of Object.values(bounded)) {
      expect(bytes).toBeGreaterThanOrEqual(4 * MIB);
      expect(bytes).toBeLessThan(12 * MIB);
    }
    expect(youngBytes({ bound: false }).after).toBeGreaterThan(12 * MIB);
  });

  test("leaves what the command line says", () => {
    const { before, after } = youngBytes({ bound: true, flags: ["--min-semi-space-size=16"] });
    expect(Math.min(before, after)).toBeGreaterThan(12 * MIB);
    const small = youngBytes({ bound: true, flags: ["--max-semi-space-size=1"] });
    expect(Math.max(small.before, small.after)).toBeLessThan(4 * MIB);
  });
});

/** How often the young generation is collected in many turns of the event loop that each make half a megabyte. */
function collectionsUnderLoad(grows: boolean): number {
  const script = `
    import { boundHeap, growUnderLoad } from ${JSON.stringify(HEAP)};
    boundHeap();
    if (${grows}) growUnderLoad();
    const kept = [];
    let turns = 0;
    const turn = () => {
      for (let index = 0; index < 1_000; index++) kept[(turns * 1_000) % 10_000 + index] = new Array(50).fill(index);
      if (++turns < 2_000) setImmediate(turn);
    };
    turn();`;
  const args = ["--trace-gc", "--input-type=module", "--eval", script];
  return execFileSync(process.execPath, args, { encoding: "utf8" }).match(/ms: Scavenge/g)?.length ?? 0;
}

describe("growUnderLoad()", () => {
  test("has the young generation grow under load, to twice its size", () => {
    const ratio = collectionsUnderLoad(true) / collectionsUnderLoad(false);
    expect(ratio).toBeLessThan(0.8);
    expect(ratio).toBeGreaterThan(0.35);
  });
});
