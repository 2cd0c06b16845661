import { useRef, useState } from "preact/hooks";
import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import type { Rollout } from "../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { metadataOf, outcomeOf, stateOf } from "../api/operations.ts";
import { type Problem, problemOfStatus } from "../api/problem.ts";
import { useFollow } from "../api/use-follow.ts";
import { Announce, Reconnecting } from "../parts/announce.tsx";
import { Badge } from "../parts/badge.tsx";
import { Loading } from "../parts/known.tsx";
import { Page, Section } from "../parts/page.tsx";
import { ProblemBox } from "../parts/problem.tsx";
import { RolloutBars } from "../parts/rollout.tsx";
import { ROOT, urlOf } from "../router.ts";
import { describeTarget } from "../targets/names.ts";
import { OPERATION_OUTCOMES, STATES, W } from "../words.ts";
import { NotObserved, ToCancel, Unknown, Unresolved } from "./operation-doubt.tsx";
import { OperationFacts, Parts, Timeline } from "./operation-facts.tsx";
import { followOperation } from "./operation-follow.ts";

/** One operation: how it goes, and what is known of it. */
export function OperationPage({ segments: [, id = ""] }: { readonly segments: readonly string[] }) {
  const name = `operations/${id}`;
  const [operation, setOperation] = useState<Operation>();
  const [rollout, setRollout] = useState<Rollout>();
  const [meanwhile, setMeanwhile] = useState<Problem>();
  const newest = useRef<Operation>(undefined);
  const take = (one: Operation): void => {
    newest.current = one;
    setOperation(one);
  };
  const following = useRef<ReturnType<typeof followOperation>>(undefined);
  following.current ??= followOperation(name, { current: () => newest.current, operation: take, rollout: setRollout });
  const { reconnecting, problem } = useFollow(name, following.current);
  const metadata = operation && metadataOf(operation);
  const state = stateOf(metadata);
  // The rollout tells each step; how it ended the operation tells.
  const progress = (state === "SENT" ? rollout?.message : undefined) ?? metadata?.progress ?? "";
  const described = metadata && describeTarget(metadata.target);
  const title = metadata === undefined ? name : `${metadata.action} ${described?.short ?? metadata.target}`;
  return (
    <Page
      title={title}
      above={<a href={`${ROOT}operations`}>{W.operations}</a>}
      beside={state === "ACCEPTED" && <ToCancel name={name} onChange={take} />}
    >
      {reconnecting && <Reconnecting />}
      {operation === undefined && (problem === undefined ? <Loading /> : <ProblemBox problem={problem} />)}
      {operation !== undefined && metadata !== undefined && (
        <div
          data-testid="operation"
          data-state={`STATE_${state}`}
          data-outcome={`OUTCOME_${outcomeOf(metadata)}`}
          data-name={operation.name}
        >
          <div class="panel">
            <div class="panel-head">
              <Badge state={state} />
              <span class="quiet">{OPERATION_OUTCOMES[outcomeOf(metadata)]}</span>
              <p class="message" aria-hidden="true">
                {progress}
              </p>
              <Announce text={progress || `${W.state}: ${STATES[state] ?? state}`} last={operation.done} />
            </div>
            {rollout !== undefined && <Rolling rollout={rollout} job={metadata.vendorJob} target={metadata.target} />}
          </div>
          {state === "UNKNOWN" && <Unknown metadata={metadata} />}
          {state === "UNRESOLVED" && (
            <Unresolved
              name={name}
              target={metadata.target}
              look={described?.look ?? ""}
              onChange={take}
              onMeanwhile={setMeanwhile}
            />
          )}
          {meanwhile !== undefined && <ProblemBox problem={meanwhile} alert />}
          {state === "NOT_OBSERVED" && <NotObserved again={described?.again?.(metadata.action)} />}
          {operation.result.case === "error" && state !== "UNRESOLVED" && (
            <ProblemBox problem={problemOfStatus(operation.result.value)} />
          )}
          <Parts operation={operation} metadata={metadata} />
          <div class="columns">
            <Section title={W.timeline}>
              <Timeline metadata={metadata} state={state} />
            </Section>
            <Section title={W.facts}>
              <OperationFacts metadata={metadata} />
            </Section>
          </div>
        </div>
      )}
    </Page>
  );
}

function Rolling({
  rollout,
  job,
  target,
}: {
  readonly rollout: Rollout;
  readonly job: string;
  readonly target: string;
}) {
  if (rollout.restartedAt !== job) {
    return (
      <p>
        {W.superseded}. <a href={urlOf(target)}>{W.lookAtIt}</a>
      </p>
    );
  }
  return <RolloutBars rollout={rollout} />;
}
