import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import { listOperations, metadataOf } from "../api/operations.ts";
import { isAnswered, usePoll } from "../api/poll.ts";
import { Known, Loading } from "../parts/known.tsx";
import { OperationsTable } from "../parts/operations-table.tsx";
import { Page, Section } from "../parts/page.tsx";
import { ROOT } from "../router.ts";
import { useServer } from "../server.ts";
import { TARGETS } from "../targets/index.ts";
import { W } from "../words.ts";
import { Projects } from "./project.tsx";

const EVERY_MS = 10_000;
const MOST = 10;

/** States of what is under way: a filter has no "or". */
const RUNNING = ["ACCEPTED", "SENDING", "SENT", "UNKNOWN"];

const createdMs = (operation: Operation): number => Number(metadataOf(operation)?.createTime?.seconds ?? 0n);

/** What there is to restart, and above it what needs a person, and what is under way. */
export function TargetsPage() {
  const server = useServer();
  const undecided = usePoll("undecided", {
    everyMs: EVERY_MS,
    ask: (signal) => listOperations({ filter: "state = UNRESOLVED", pageSize: MOST }, signal),
  });
  const running = usePoll("running", {
    everyMs: EVERY_MS,
    ask: async (signal) => {
      const pages = RUNNING.map((state) => listOperations({ filter: `state = ${state}`, pageSize: MOST }, signal));
      const all = (await Promise.all(pages)).flatMap(({ operations }) => operations);
      return all.sort((one, other) => createdMs(other) - createdMs(one)).slice(0, MOST);
    },
  });
  const known = isAnswered(undecided) && isAnswered(running);
  const systems = server?.systems ?? [];
  const overviews = TARGETS.flatMap(({ Overview }) => Overview ?? []).filter(({ system }) => systems.includes(system));
  return (
    <Page title={W.targets}>
      {!known || server === undefined ? (
        <Loading />
      ) : (
        <>
          <Section
            title={W.needsDecision}
            beside={
              undecided.value?.operations.length ? (
                <a href={`${ROOT}operations?state=UNRESOLVED`}>{W.andMore}</a>
              ) : undefined
            }
          >
            <Known
              polled={undecided}
              show={(page) =>
                page?.operations.length === 0 ? (
                  <p class="quiet">{W.nothingNeedsDecision}</p>
                ) : (
                  <OperationsTable
                    name={W.needsDecision}
                    operations={page?.operations}
                    empty={W.nothingNeedsDecision}
                    targets
                  />
                )
              }
            />
          </Section>
          <Section
            title={W.running}
            beside={running.value?.length ? <a href={`${ROOT}operations?state=SENT`}>{W.andMore}</a> : undefined}
          >
            <Known
              polled={running}
              show={(operations) =>
                operations?.length === 0 ? (
                  <p class="quiet">{W.nothingRuns}</p>
                ) : (
                  <OperationsTable name={W.running} operations={operations} empty={W.nothingRuns} targets />
                )
              }
            />
          </Section>
          <div class="columns">
            {overviews.map(({ system, Show }) => (
              <Show key={system} />
            ))}
            {systems.includes("huaweicloud") && <Projects />}
          </div>
          {systems.length === 0 && <p class="quiet">{W.nothingConfigured}</p>}
        </>
      )}
    </Page>
  );
}
