import { newCall } from "../../../src/core/call.ts";
import { noMeter } from "../../../src/core/meter.ts";
import type { PrepareContext } from "../../../src/core/operation.ts";
import { ANONYMOUS } from "../../../src/core/principal.ts";
import type { RunningTarget, Runtime } from "../../../src/core/target.ts";
import { noTracer } from "../../../src/core/tracer.ts";
import { openKubernetes } from "../../../src/targets/kubernetes/index.ts";
import { contextsOf } from "../../support/restartd.ts";

/** What operations give an action for its checks, of a caller who has a minute. */
export const newAsking = (changes: Partial<PrepareContext> = {}): PrepareContext => ({
  call: newCall("00000000-0000-4000-8000-000000000000"),
  principal: ANONYMOUS,
  signal: new AbortController().signal,
  remainingMs: () => 60_000,
  validateOnly: false,
  warn: () => {},
  ...changes,
});

/** The target without operations, for a test that does with its action what they would. */
export function openAlone(
  kubeconfig: string,
  contexts: readonly string[],
  changes: Partial<Pick<Runtime, "now" | "warn">> = {},
): RunningTarget {
  const clusters = Object.entries(contextsOf(kubeconfig, contexts)).map(([name, source]) => ({ name, source }));
  const without = () => Promise.reject(new Error("the target was opened without operations"));
  const operations = { run: without, runAll: without };
  return openKubernetes(
    { fieldManager: "restartd", clusters },
    {
      now: () => new Date(),
      monotonic: () => performance.now(),
      random: Math.random,
      warn: () => {},
      background: () => {},
      meter: noMeter,
      tracer: noTracer,
      operations,
      ...changes,
    },
  );
}
