/** Nanoseconds in each unit of Go's durations. */
const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/**
 * A duration as Go writes it, `1h30m` or `500ms`, in the form of protobuf's JSON, `5400s` or `0.500s`.
 *
 * @returns undefined when it is not one.
 */
export function secondsOf(text: string): string | undefined {
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+$/.test(text)) return undefined;
  const nanos = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)]
    .map(([, amount, unit = ""]) => Number(amount) * (UNITS[unit] ?? 0))
    .reduce((sum, part) => sum + part, 0);
  return `${(nanos / 1e9).toFixed(9)}s`;
}
