import { PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";

/** Bytes of one half of the young generation: at the start, and while there is much to do. */
const START_BYTES = 4 << 20;
const BUSY_BYTES = 8 << 20;

/** So many collections within a second are a server that has much to do. */
const BUSY_COLLECTIONS = 8;

/** At most so many arrays of 8 KB are made to have it grow. */
const MOST_ARRAYS = 500;

/**
 * Bounds how much of a heap is garbage; V8's own bounds suit programs whose data is big. Its young generation would grow to 128 MiB and
 * keep them, and the old one to four times what is in use, where some 40 MB are in use. To be called before modules are loaded: what is
 * kept compiled is kept for the flags that it was compiled with.
 */
export function boundHeap(): void {
  setFlagsFromString("--heap-growing-percent=100");
  growTo(START_BYTES);
}

/**
 * Has the young generation grow while there is much to do. V8 shrinks it to 1 MiB whenever it collects while little happens, and in one
 * so small it collects every few calls, which takes an eighth of the CPU. To be called once modules are loaded.
 */
export function growUnderLoad(): void {
  let times: number[] = [];
  new PerformanceObserver((list, observer) => {
    times = [...times, ...list.getEntries().map(({ startTime }) => startTime)].slice(-BUSY_COLLECTIONS);
    const [first = 0] = times;
    const busy = times.length === BUSY_COLLECTIONS && performance.now() - first < 1_000;
    if (busy && !growTo(BUSY_BYTES)) observer.disconnect();
  }).observe({ entryTypes: ["gc"] });
}

/**
 * `--max-semi-space-size` has no effect once V8 runs, but what the growth factor is, V8 asks each time. So the young generation is made to
 * grow here, by the arrays that survive in it, and does not by itself. One that is bigger stays, as `--min-semi-space-size` makes it.
 *
 * @returns whether it has; not where `--max-semi-space-size` keeps it small.
 */
function growTo(bytes: number): boolean {
  const factor = Math.round(bytes / halfBytes());
  const isSmall = (): boolean => halfBytes() < bytes * 0.55; // its pages' heads do not count, and V8 shrinks it to sizes of its choice
  setFlagsFromString(`--semi-space-growth-factor=${Math.max(1, factor)}`);
  const survivors: unknown[] = [];
  while (survivors.length < MOST_ARRAYS && isSmall()) survivors.push(new Array(1000).fill(0));
  setFlagsFromString("--semi-space-growth-factor=1");
  return !isSmall();
}

function halfBytes(): number {
  const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
  return young === undefined ? Number.POSITIVE_INFINITY : young.space_used_size + young.space_available_size;
}
