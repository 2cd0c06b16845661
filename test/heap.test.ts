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
    const start = size();
    const kept = [];
    for (let index = 0; index < 300_000; index++) kept[index % 30_000] = new Array(200).fill(index);
    console.log(JSON.stringify({ start, then: size() }));`;
  const args = [...flags, "--input-type=module", "--eval", script];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as { start: number; then: number };
}

const MIB = 1 << 20;

// Of a process that is slow, since the machine is busy, V8 halves it now and then; and a page more may be held than it says.
describe("boundHeap()", () => {
  test("has the young generation grow to 8 MiB, and no further", () => {
    const { start, then } = youngBytes({ bound: true });
    expect(start).toBe(8 * MIB);
    expect(then).toBeLessThan(12 * MIB);
    expect(youngBytes({ bound: false }).then).toBeGreaterThan(12 * MIB);
  });

  test("leaves what the command line says", () => {
    const more = youngBytes({ bound: true, flags: ["--min-semi-space-size=16"] });
    expect(more.start).toBe(32 * MIB);
    expect(more.then).toBeGreaterThan(12 * MIB);
    const less = youngBytes({ bound: true, flags: ["--max-semi-space-size=1"] });
    expect(less).toEqual({ start: 2 * MIB, then: 2 * MIB });
  });
});
