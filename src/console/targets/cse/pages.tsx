import type { Engine } from "../../../../gen/restart/cse/v1/engine_pb.ts";
import { allPages } from "../../api/pages.ts";
import { isAnswered, usePoll } from "../../api/poll.ts";
import { ActionButton } from "../../parts/action.tsx";
import { VendorBadge } from "../../parts/badge.tsx";
import { Known, Loading } from "../../parts/known.tsx";
import { OperationsOf } from "../../parts/operations-of.tsx";
import { Facts, Page, Section } from "../../parts/page.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Time } from "../../parts/time.tsx";
import { urlOf } from "../../router.ts";
import { retryIntent } from "./actions.ts";
import { engines } from "./client.ts";
import { nameOf } from "./name.ts";

type Row = Engine & { readonly projectId: string };

const COLUMNS: readonly Column<Row>[] = [
  {
    title: "Name",
    share: 3,
    names: true,
    cell: (row) => <a href={urlOf(nameOf(row.projectId, row.id))}>{row.name || row.id}</a>,
  },
  { title: "Status", share: 2, cell: ({ status }) => <VendorBadge state={status} /> },
  { title: "Type", cell: ({ type }) => type },
  { title: "Version", cell: ({ version }) => version },
  { title: "Id", share: 4, cell: ({ id }) => <code>{id}</code> },
];

/** The engines of a project. */
export function Engines({ projectId }: { readonly projectId: string }) {
  const polled = usePoll(`engines of ${projectId}`, {
    everyMs: 30_000,
    ask: (signal) => allPages((pageToken) => engines.listEngines({ projectId, pageToken }, { signal })),
  });
  return (
    <Section title="Engines (CSE)">
      <Known
        polled={polled}
        show={(pages) => (
          <Table
            name="Engines"
            columns={COLUMNS}
            rows={pages?.flatMap((page) => page.engines.map((row) => ({ ...row, projectId })))}
            nameOf={({ id }) => nameOf(projectId, id)}
            empty="No engines in this project."
          />
        )}
      />
    </Section>
  );
}

/** One engine, with its latest job. */
export function EnginePage({
  segments: [, projectId = "", , , engineId = ""],
}: {
  readonly segments: readonly string[];
}) {
  const target = nameOf(projectId, engineId);
  const polled = usePoll(target, {
    everyMs: 10_000,
    ask: async (signal) => {
      const engine = await engines.getEngine({ projectId, engineId }, { signal });
      const jobId = engine.latestJobId;
      return {
        engine,
        job: jobId > 0n ? await engines.getEngineJob({ projectId, engineId, jobId }, { signal }) : undefined,
      };
    },
  });
  const { engine, job } = polled.value ?? {};
  const name = engine?.name || engineId;
  const latest = job && `${job.id} (${job.type})`;
  const intent = retryIntent({ projectId, engineId, name, ...(latest && { job: latest }) });
  return (
    <Page
      title={name}
      above={<a href={urlOf(`projects/${encodeURIComponent(projectId)}`)}>{projectId}</a>}
      beside={<ActionButton label="Retry failed job…" intent={isAnswered(polled) ? intent : undefined} primary />}
    >
      <Known
        polled={polled}
        show={(known) =>
          known === undefined ? (
            <Loading />
          ) : (
            <>
              <Facts
                facts={[
                  ["Status", <VendorBadge key="status" state={known.engine.status} />],
                  ["Type", known.engine.type],
                  ["Version", known.engine.version],
                  ["Id", <code key="id">{known.engine.id}</code>],
                ]}
              />
              <Section title="Latest job">
                {known.job === undefined ? (
                  <p class="quiet">It has had none.</p>
                ) : (
                  <Facts
                    facts={[
                      ["Job", String(known.job.id)],
                      ["Type", known.job.type],
                      ["Status", <VendorBadge key="status" state={known.job.status} />],
                      ["Began", <Time key="began" of={known.job.startTime} full />],
                      ["Ended", known.job.endTime && <Time key="ended" of={known.job.endTime} full />],
                    ]}
                  />
                )}
              </Section>
            </>
          )
        }
      />
      {isAnswered(polled) && <OperationsOf target={target} />}
    </Page>
  );
}
