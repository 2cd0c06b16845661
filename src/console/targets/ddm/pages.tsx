import type { Instance } from "../../../../gen/restart/ddm/v1/instance_pb.ts";
import { allPages } from "../../api/pages.ts";
import { isAnswered, usePoll } from "../../api/poll.ts";
import { ActionButton } from "../../parts/action.tsx";
import { VendorBadge } from "../../parts/badge.tsx";
import { Known, Loading } from "../../parts/known.tsx";
import { OperationsOf } from "../../parts/operations-of.tsx";
import { Facts, Page, Section } from "../../parts/page.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { urlOf } from "../../router.ts";
import { restartIntent } from "./actions.ts";
import { instances } from "./client.ts";
import { nameOf } from "./name.ts";

type Row = Instance & { readonly projectId: string };

const COLUMNS: readonly Column<Row>[] = [
  {
    title: "Name",
    share: 3,
    names: true,
    cell: (row) => <a href={urlOf(nameOf(row.projectId, row.instanceId))}>{row.name || row.instanceId}</a>,
  },
  { title: "Status", share: 2, cell: ({ status }) => <VendorBadge state={status} /> },
  { title: "Version", cell: ({ engineVersion }) => engineVersion },
  { title: "Nodes", number: true, cell: ({ nodeCount }) => String(nodeCount) },
  { title: "Id", share: 4, cell: ({ instanceId }) => <code>{instanceId}</code> },
];

/** The instances of a project. */
export function DdmInstances({ projectId }: { readonly projectId: string }) {
  const polled = usePoll(`ddm of ${projectId}`, {
    everyMs: 30_000,
    ask: (signal) => allPages((pageToken) => instances.listInstances({ projectId, pageToken }, { signal })),
  });
  return (
    <Section title="Instances (DDM)">
      <Known
        polled={polled}
        show={(pages) => (
          <Table
            name="DDM instances"
            columns={COLUMNS}
            rows={pages?.flatMap((page) => page.instances.map((row) => ({ ...row, projectId })))}
            nameOf={({ instanceId }) => nameOf(projectId, instanceId)}
            empty="No DDM instances in this project."
          />
        )}
      />
    </Section>
  );
}

/** One instance. */
export function DdmInstancePage({
  segments: [, projectId = "", , , instanceId = ""],
}: {
  readonly segments: readonly string[];
}) {
  const target = nameOf(projectId, instanceId);
  const polled = usePoll(target, {
    everyMs: 10_000,
    ask: (signal) => instances.getInstance({ projectId, instanceId }, { signal }),
  });
  const name = polled.value?.name || instanceId;
  const known = isAnswered(polled);
  const ref = { projectId, instanceId, name, ...(polled.value && { nodes: polled.value.nodeCount }) };
  return (
    <Page
      title={name}
      above={<a href={urlOf(`projects/${encodeURIComponent(projectId)}`)}>{projectId}</a>}
      beside={
        <>
          <ActionButton label="Soft restart…" intent={known ? restartIntent(ref, false) : undefined} primary />
          <ActionButton label="Hard restart…" intent={known ? restartIntent(ref, true) : undefined} />
        </>
      }
    >
      <Known
        polled={polled}
        show={(one) =>
          one === undefined ? (
            <Loading />
          ) : (
            <Facts
              facts={[
                ["Status", <VendorBadge key="status" state={one.status} />],
                ["Version", one.engineVersion],
                ["Nodes", String(one.nodeCount)],
                ["Id", <code key="id">{one.instanceId}</code>],
              ]}
            />
          )
        }
      />
      {isAnswered(polled) && <OperationsOf target={target} />}
    </Page>
  );
}
