import type { Deployment } from "../../../../gen/restart/arcgis/v1/deployment_pb.ts";
import { isAnswered, usePoll } from "../../api/poll.ts";
import { ActionButton } from "../../parts/action.tsx";
import { VendorBadge } from "../../parts/badge.tsx";
import { Known, Loading } from "../../parts/known.tsx";
import { OperationsOf } from "../../parts/operations-of.tsx";
import { Facts, Page, Section } from "../../parts/page.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { urlOf } from "../../router.ts";
import { refreshIntent } from "./actions.ts";
import { deployments } from "./client.ts";
import { nameOf } from "./name.ts";

/** The configured sites. */
export function Sites() {
  const polled = usePoll("sites", { everyMs: 10_000, ask: (signal) => deployments.listSites({}, { signal }) });
  return (
    <Section title="ArcGIS Enterprise">
      <Known
        polled={polled}
        show={(answer) => (
          <Table
            name="Sites"
            rows={answer?.sites}
            nameOf={({ name }) => `sites/${encodeURIComponent(name)}`}
            empty="No sites."
            columns={[
              {
                title: "Site",
                share: 1.2,
                names: true,
                cell: ({ name }) => <a href={urlOf(`sites/${encodeURIComponent(name)}`)}>{name}</a>,
              },
              { title: "Address", share: 3, cell: ({ adminUrl }) => <span class="text quiet">{adminUrl}</span> },
            ]}
          />
        )}
      />
    </Section>
  );
}

type Row = Deployment & { readonly site: string };

const COLUMNS: readonly Column<Row>[] = [
  {
    title: "Name",
    share: 3,
    names: true,
    cell: (row) => <a href={urlOf(nameOf(row.site, row.deploymentId))}>{row.name || row.deploymentId}</a>,
  },
  { title: "Type", share: 2, cell: ({ type }) => type },
  { title: "Mode", share: 1.5, cell: ({ mode }) => mode },
  { title: "Provider", share: 2, cell: ({ provider }) => provider },
  { title: "Id", share: 3, cell: ({ deploymentId }) => <code>{deploymentId}</code> },
  {
    title: "Actions",
    share: 1.5,
    hidden: true,
    cell: ({ site, deploymentId, name }) => (
      <ActionButton
        label="Refresh…"
        name={`Refresh ${name || deploymentId}…`}
        intent={refreshIntent({ site, deploymentId, name: name || deploymentId })}
        small
      />
    ),
  },
];

/** The deployments of a site. */
export function SitePage({ segments: [, site = ""] }: { readonly segments: readonly string[] }) {
  const polled = usePoll(`deployments of ${site}`, {
    everyMs: 30_000,
    ask: (signal) => deployments.listDeployments({ site }, { signal }),
  });
  return (
    <Page title={site} above={<a href="/console/">ArcGIS Enterprise</a>}>
      <Known
        polled={polled}
        show={(answer) => (
          <Table
            name="Deployments"
            columns={COLUMNS}
            rows={answer?.deployments.map((row) => ({ ...row, site }))}
            nameOf={(row) => nameOf(site, row.deploymentId)}
            empty="No deployments on this site."
          />
        )}
      />
    </Page>
  );
}

/** One deployment. */
export function DeploymentPage({
  segments: [, site = "", , deploymentId = ""],
}: {
  readonly segments: readonly string[];
}) {
  const target = nameOf(site, deploymentId);
  const polled = usePoll(target, {
    everyMs: 10_000,
    ask: (signal) => deployments.getDeployment({ site, deploymentId }, { signal }),
  });
  const name = polled.value?.name || deploymentId;
  const pods = polled.value?.totalReplicas;
  const intent = refreshIntent({ site, deploymentId, name, ...(pods !== undefined && { pods }) });
  return (
    <Page
      title={name}
      above={
        <>
          <a href={urlOf(`sites/${encodeURIComponent(site)}`)}>{site}</a> / deployments
        </>
      }
      beside={<ActionButton label="Refresh…" intent={isAnswered(polled) ? intent : undefined} primary />}
    >
      <Known
        polled={polled}
        show={(one) =>
          one === undefined ? (
            <Loading />
          ) : (
            <Facts
              facts={[
                ["State", <VendorBadge key="state" state={one.currentState} />],
                ["Ready", `${one.readyReplicas}/${one.totalReplicas}`],
                ["Type", one.type],
                ["Mode", one.mode],
                ["Provider", one.provider],
                ["Id", <code key="id">{one.deploymentId}</code>],
              ]}
            />
          )
        }
      />
      {isAnswered(polled) && <OperationsOf target={target} />}
    </Page>
  );
}
