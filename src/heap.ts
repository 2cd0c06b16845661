import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Bytes of the young generation: two halves of 4 MiB. */
const YOUNG_BYTES = 8 << 20;

/** At most so many arrays of 8 KB are made to have it grow. */
const MOST_ARRAYS = 500;

/**
 * Bounds how much of a heap is garbage; V8's own bounds suit programs whose data is big. Its young generation would grow to 128 MiB and
 * keep them, and the old one to four times what is in use, where some 40 MB are in use. To be called before modules are loaded: what is
 * kept compiled is kept for the flags that it was compiled with.
 *
 * `--max-semi-space-size` has no effect once V8 runs, but what the growth factor is, V8 asks each time. So the young generation is made to
 * grow here, by the arrays that survive in it, and does not afterwards. One that `--min-semi-space-size` has made bigger stays.
 */
export function boundHeap(): void {
  setFlagsFromString("--heap-growing-percent=100");
  setFlagsFromString("--semi-space-growth-factor=4");
  const survivors: unknown[] = [];
  while (survivors.length < MOST_ARRAYS && youngBytes() < YOUNG_BYTES) survivors.push(new Array(1000).fill(0));
  setFlagsFromString("--semi-space-growth-factor=1");
}

const youngBytes = (): number =>
  getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space")?.space_size ?? YOUNG_BYTES;
