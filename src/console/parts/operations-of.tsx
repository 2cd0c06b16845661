import { listOperations, quote } from "../api/operations.ts";
import { usePoll } from "../api/poll.ts";
import { ROOT } from "../router.ts";
import { W } from "../words.ts";
import { Known } from "./known.tsx";
import { OperationsTable } from "./operations-table.tsx";
import { Section } from "./page.tsx";

const MOST = 10;
const EVERY_MS = 5000;

/** The last operations on a target. */
export function OperationsOf({ target }: { readonly target: string }) {
  const polled = usePoll(`operations of ${target}`, {
    everyMs: EVERY_MS,
    ask: (signal) => listOperations({ filter: `target = ${quote(target)}`, pageSize: MOST }, signal),
  });
  const all = `${ROOT}operations?${new URLSearchParams({ target })}`;
  return (
    <Section title={W.lastOperations} beside={<a href={all}>{W.andMore}</a>}>
      <Known
        polled={polled}
        show={(page) => (
          <OperationsTable name={W.operations} operations={page?.operations} empty={W.noOperationsHere} />
        )}
      />
    </Section>
  );
}
