import type { Instance } from "../../../../gen/restart/dcs/v1/instance_pb.ts";
import { allPages } from "../../api/pages.ts";
import { usePoll } from "../../api/poll.ts";
import { VendorBadge } from "../../parts/badge.tsx";
import { Known } from "../../parts/known.tsx";
import { Section } from "../../parts/page.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { urlOf } from "../../router.ts";
import { instances } from "./client.ts";
import { nameOf } from "./name.ts";

/** An instance as a row. */
export type Row = Instance & { readonly projectId: string };

/** What is known of an instance in a list. */
export const COLUMNS: readonly Column<Row>[] = [
  {
    title: "Name",
    share: 3,
    names: true,
    cell: (row) => <a href={urlOf(nameOf(row.projectId, row.instanceId))}>{row.name || row.instanceId}</a>,
  },
  { title: "Status", share: 2, cell: ({ status }) => <VendorBadge state={status} /> },
  { title: "Engine", share: 2, cell: ({ engine, engineVersion }) => `${engine} ${engineVersion}` },
  { title: "Id", share: 4, cell: ({ instanceId }) => <code>{instanceId}</code> },
];

/** Asks for the instances of a project. */
export const useInstances = (projectId: string) =>
  usePoll(`dcs of ${projectId}`, {
    everyMs: 30_000,
    ask: async (signal) => {
      const pages = await allPages((pageToken) => instances.listInstances({ projectId, pageToken }, { signal }));
      return pages.flatMap((page) => page.instances.map((row): Row => ({ ...row, projectId })));
    },
  });

/** The instances of a project. */
export function DcsInstances({ projectId }: { readonly projectId: string }) {
  const polled = useInstances(projectId);
  const all = `projects/${encodeURIComponent(projectId)}/dcs/instances`;
  return (
    <Section title="Instances (DCS)" beside={<a href={urlOf(all)}>Several at once</a>}>
      <Known
        polled={polled}
        show={(rows) => (
          <Table
            name="DCS instances"
            columns={COLUMNS}
            rows={rows}
            nameOf={({ instanceId }) => nameOf(projectId, instanceId)}
            empty="No DCS instances in this project."
          />
        )}
      />
    </Section>
  );
}
