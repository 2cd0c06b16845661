import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import type { RestartMetadata } from "../../../gen/restart/operation/v1/operation_pb.ts";
import { WARNING_SENTENCES } from "../../core/warnings.ts";
import { listOperations, outcomeOf, quote } from "../api/operations.ts";
import { usePoll } from "../api/poll.ts";
import { Copy } from "../parts/copy.tsx";
import { Known } from "../parts/known.tsx";
import { OperationsTable } from "../parts/operations-table.tsx";
import { Facts, Section } from "../parts/page.tsx";
import { duration, Time } from "../parts/time.tsx";
import { urlOf } from "../router.ts";
import { shortNameOf } from "../targets/names.ts";
import { STATES, W } from "../words.ts";

/** When what happened, and how long each step took. That it was applied is known without a time of its own. */
export function Timeline({ metadata, state }: { readonly metadata: RestartMetadata; readonly state: string }) {
  const { createTime, sendTime, updateTime, endTime } = metadata;
  const inDoubt = state === "UNKNOWN" || state === "UNRESOLVED";
  const steps: readonly (readonly [name: string, happened: boolean, time: Timestamp | undefined])[] = [
    [W.accepted, true, createTime],
    [W.sent, sendTime !== undefined, sendTime],
    [W.proven, outcomeOf(metadata) === "APPLIED", undefined],
    // When it became unknown is not told of what has ended since.
    [STATES.UNKNOWN ?? state, inDoubt, endTime === undefined ? updateTime : undefined],
    [`${W.ended}: ${STATES[state] ?? state}`, endTime !== undefined, endTime],
  ];
  let before: Timestamp | undefined;
  return (
    <ol class="timeline">
      {steps
        .filter(([, happened]) => happened)
        .map(([name, , time]) => {
          const since = before;
          before = time ?? before;
          return (
            <li key={name}>
              <strong>{name}</strong> <Time of={time} full />
              {time && since && (
                <span class="quiet"> · {W.after(duration(timestampMs(time) - timestampMs(since)))}</span>
              )}
            </li>
          );
        })}
    </ol>
  );
}

/** What is known of an operation. */
export function OperationFacts({ metadata }: { readonly metadata: RestartMetadata }) {
  const { target, action, principal, reason, requestId, vendorJob, warnings, parent, cancelRequested } = metadata;
  return (
    <Facts
      facts={[
        [
          W.target,
          <a key="target" href={urlOf(target)}>
            {shortNameOf(target)}
          </a>,
        ],
        [W.action, action],
        [W.by, principal],
        [W.reason, reason],
        [
          W.parent,
          parent && (
            <a key="parent" href={urlOf(parent)}>
              {parent}
            </a>
          ),
        ],
        [W.requestId, requestId && <WithCopy text={requestId} of={W.requestId} />],
        [W.vendorJob, vendorJob && <WithCopy text={vendorJob} of={W.vendorJob} />],
        [W.warnings, warnings.length > 0 && <Warned warnings={warnings} />],
        [W.cancelRequested, cancelRequested && W.yes],
      ]}
    />
  );
}

const WithCopy = ({ text, of }: { readonly text: string; readonly of: string }) => (
  <span class="row">
    <code>{text}</code>
    <Copy text={text} of={of} />
  </span>
);

/** Warnings are a token and a sentence; where this page has a sentence of its own, it is the same as in the dialog. */
function Warned({ warnings }: { readonly warnings: readonly string[] }) {
  return (
    <ul class="warnings" data-testid="warnings">
      {warnings.map((warning) => {
        const [token = "", ...said] = warning.split(/:? /);
        const own = token === "SERVER_WARNING" ? undefined : WARNING_SENTENCES[token];
        return (
          <li key={warning} data-warning={token}>
            <code>{token}</code> {own ?? said.join(" ")}
          </li>
        );
      })}
    </ul>
  );
}

/** More than one call can have. */
const MOST = 100;

/** The operations that an operation is made of. */
export function Parts({ operation, metadata }: { readonly operation: Operation; readonly metadata: RestartMetadata }) {
  const mayHave = metadata.parent === "" && /\/instances$/.test(metadata.target);
  // Asked once more when the whole has ended: its parts have then.
  const polled = usePoll(mayHave ? `parts of ${operation.name} ${operation.done}` : undefined, {
    everyMs: operation.done ? undefined : 2000,
    ask: (signal) => listOperations({ filter: `parent = ${quote(operation.name)}`, pageSize: MOST }, signal),
  });
  if (!mayHave) return null;
  return (
    <Section title={W.parts}>
      <Known
        polled={polled}
        show={(page) => (
          <OperationsTable name={W.parts} operations={page?.operations} empty={W.noOperationsHere} targets parts />
        )}
      />
    </Section>
  );
}
