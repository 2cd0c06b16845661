import { isAnswered, usePoll } from "../../api/poll.ts";
import { ActionButton } from "../../parts/action.tsx";
import { VendorBadge } from "../../parts/badge.tsx";
import { Known, Loading } from "../../parts/known.tsx";
import { OperationsOf } from "../../parts/operations-of.tsx";
import { Facts, Page } from "../../parts/page.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { setQuery, urlOf, usePlace } from "../../router.ts";
import { W } from "../../words.ts";
import { type Chosen, type DcsAction, instancesIntent } from "./actions.ts";
import { instances } from "./client.ts";
import { nameOf } from "./name.ts";
import { COLUMNS, type Row, useInstances } from "./table.tsx";

const ACTIONS: readonly (readonly [action: DcsAction, label: string])[] = [
  ["restart", "Restart…"],
  ["soft_restart", "Soft restart…"],
  ["flush", "Flush…"],
];

/** As many as one call takes. */
const MOST = 50;

/** @param chosen undefined while that is not known. */
function Buttons({ chosen }: { readonly chosen: Chosen | undefined }) {
  return (
    <>
      {ACTIONS.map(([action, label], index) => (
        <ActionButton
          key={action}
          label={label}
          intent={chosen?.instances.length === 0 ? W.selectFirst : chosen && instancesIntent(chosen, action)}
          primary={index === 0}
        />
      ))}
    </>
  );
}

/** The instances of a project, of which several can be chosen. The choice is in the address. */
export function InstancesPage({ segments: [, projectId = ""] }: { readonly segments: readonly string[] }) {
  const { query } = usePlace();
  const polled = useInstances(projectId);
  const rows = polled.value ?? [];
  const selected = (query.get("selected") ?? "").split(",").filter((id) => rows.some((row) => row.instanceId === id));
  const toggle = (id: string, on: boolean): void => {
    const others = selected.filter((other) => other !== id);
    setQuery({ selected: (on ? [...others, id] : others).join(",") });
  };
  const choose: Column<Row> = {
    title: "Select",
    share: 0.7,
    hidden: true,
    cell: ({ instanceId, name }) => (
      <input
        type="checkbox"
        aria-label={W.selectRow(name || instanceId)}
        checked={selected.includes(instanceId)}
        disabled={selected.length >= MOST && !selected.includes(instanceId)}
        onChange={({ currentTarget }) => toggle(instanceId, currentTarget.checked)}
      />
    ),
  };
  const chosen = selected.map((id) => ({ id, name: rows.find((row) => row.instanceId === id)?.name || id }));
  return (
    <Page
      title="DCS instances"
      above={<a href={urlOf(`projects/${encodeURIComponent(projectId)}`)}>{projectId}</a>}
      beside={<Buttons chosen={isAnswered(polled) ? { projectId, instances: chosen } : undefined} />}
    >
      <p class="quiet">{W.selected(selected.length, MOST)}</p>
      <Known
        polled={polled}
        show={(known) => (
          <Table
            name="DCS instances"
            columns={[choose, ...COLUMNS]}
            rows={known}
            nameOf={({ instanceId }) => nameOf(projectId, instanceId)}
            empty="No DCS instances in this project."
          />
        )}
      />
    </Page>
  );
}

/** One instance. */
export function InstancePage({
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
  return (
    <Page
      title={name}
      above={
        <>
          <a href={urlOf(`projects/${encodeURIComponent(projectId)}`)}>{projectId}</a> /{" "}
          <a href={urlOf(`projects/${encodeURIComponent(projectId)}/dcs/instances`)}>DCS instances</a>
        </>
      }
      beside={
        <Buttons chosen={isAnswered(polled) ? { projectId, instances: [{ id: instanceId, name }] } : undefined} />
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
                ["Task", one.task || W.none],
                ["Engine", `${one.engine} ${one.engineVersion}`],
                ["Mode", one.cacheMode],
                ["Replicas", String(one.replicaCount)],
                ["Append-only file", one.appendOnly === undefined ? "not known" : one.appendOnly ? W.yes : W.no],
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
