import { useRef, useState } from "preact/hooks";
import { type Rollout, Rollout_State } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import type { Step } from "../../api/stream.ts";
import { useFollow } from "../../api/use-follow.ts";
import { ActionButton } from "../../parts/action.tsx";
import { Reconnecting } from "../../parts/announce.tsx";
import { Loading } from "../../parts/known.tsx";
import { OperationsOf } from "../../parts/operations-of.tsx";
import { Facts, Page } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";
import { RolloutPanel } from "../../parts/rollout.tsx";
import { VendorTime } from "../../parts/time.tsx";
import { urlOf } from "../../router.ts";
import { W } from "../../words.ts";
import type { WorkloadRef } from "./actions.ts";
import { restartIntent, typeOf } from "./actions.ts";
import { workloads } from "./client.ts";
import { nameOf, readRef } from "./name.ts";

/** So often (ms) a rollout that stands still is looked at. */
const EVERY_MS = 5000;

/** States in which something can happen at any moment. */
const MOVING: readonly (Rollout_State | undefined)[] = [
  Rollout_State.PENDING,
  Rollout_State.PROGRESSING,
  Rollout_State.PAUSED,
];

/** One workload. */
export function Workload({ segments }: { readonly segments: readonly string[] }) {
  const ref = readRef(segments);
  return ref === undefined ? null : <WorkloadOf key={nameOf(ref)} target={ref} />;
}

function WorkloadOf({ target }: { readonly target: WorkloadRef }) {
  const [rollout, setRollout] = useState<Rollout>();
  const state = useRef<Rollout_State>(undefined);
  const take = (one: Rollout): void => {
    state.current = one.state;
    setRollout(one);
  };
  const next = (): Step => {
    const moving = MOVING.includes(state.current);
    return {
      everyMs: EVERY_MS,
      wanted: () => MOVING.includes(state.current) === moving,
      async read(signal) {
        take(await workloads.getRollout(target, { signal }));
      },
      ...(moving && {
        async *stream(signal: AbortSignal) {
          for await (const one of workloads.watchRollout(target, { signal })) {
            take(one);
            yield;
          }
        },
        // It says why it ended, and looking again shows what is so now.
        ended: () => {
          state.current = undefined;
          return true;
        },
      }),
    };
  };
  const { reconnecting, problem } = useFollow(nameOf(target), next);
  const isKnown = rollout !== undefined || problem !== undefined;
  const intent = isKnown ? restartIntent(target, rollout?.desired) : undefined;
  const cluster = `clusters/${encodeURIComponent(target.cluster)}`;
  return (
    <Page
      title={target.name}
      above={
        <>
          <a href={urlOf(cluster)}>{target.cluster}</a> / {target.namespace} / {typeOf(target)}
        </>
      }
      beside={<ActionButton label="Restart…" intent={intent} primary />}
    >
      {reconnecting && <Reconnecting />}
      {rollout === undefined && problem === undefined && <Loading />}
      {problem !== undefined && rollout === undefined && <ProblemBox problem={problem} />}
      {rollout !== undefined && (
        <>
          <RolloutPanel rollout={rollout} />
          <Facts
            facts={[
              ["Restarted at", rollout.restartedAt ? <VendorTime text={rollout.restartedAt} full /> : W.never],
              ["Pods", String(rollout.desired)],
              ["Generation", `${rollout.generation} (observed: ${rollout.observedGeneration})`],
            ]}
          />
        </>
      )}
      {(rollout !== undefined || problem !== undefined) && <OperationsOf target={nameOf(target)} />}
    </Page>
  );
}
