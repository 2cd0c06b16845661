import { useState } from "preact/hooks";
import type { Workload } from "../../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { usePoll } from "../../api/poll.ts";
import { problemOfStatus } from "../../api/problem.ts";
import { ActionButton } from "../../parts/action.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Field, Search, Select } from "../../parts/filter.tsx";
import { Known } from "../../parts/known.tsx";
import { More, useMore } from "../../parts/more.tsx";
import { Page } from "../../parts/page.tsx";
import { ProblemBox } from "../../parts/problem.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { VendorTime } from "../../parts/time.tsx";
import { setQuery, urlOf, usePlace } from "../../router.ts";
import { W } from "../../words.ts";
import { restartIntent } from "./actions.ts";
import { workloads } from "./client.ts";
import { nameOf } from "./name.ts";

const PAGE = 100;

/** Kinds that can be restarted, as the filter has them: resource.group, and its version. */
const KINDS: Readonly<Record<string, string>> = {
  "deployments.apps": "v1",
  "statefulsets.apps": "v1",
  "daemonsets.apps": "v1",
  "rollouts.argoproj.io": "v1alpha1",
};

/** The workloads of a cluster. */
export function Workloads({ segments: [, cluster = ""] }: { readonly segments: readonly string[] }) {
  const { query } = usePlace();
  const get = (name: string): string => query.get(name) ?? "";
  const [namespace, kind, selector, name] = [get("namespace"), get("kind"), get("selector"), get("name")];
  const [resource = "", ...group] = kind.split(".");
  const request = {
    cluster,
    namespace,
    labelSelector: selector,
    ...(kind !== "" && { resource, group: group.join("."), version: KINDS[kind] ?? "v1" }),
    pageSize: PAGE,
  };
  const key = JSON.stringify(request);
  const more = useMore<Workload>(key, async (pageToken, signal) => {
    const page = await workloads.listWorkloads({ ...request, pageToken }, { signal });
    return { rows: page.workloads, next: page.nextPageToken };
  });
  const polled = usePoll(`workloads ${key}`, {
    everyMs: more.rows.length > 0 ? undefined : 10_000,
    ask: (signal) => workloads.listWorkloads(request, { signal }),
  });
  const all = polled.value && [...polled.value.workloads, ...more.rows];
  const rows = all?.filter((row) => row.name.includes(name));
  const namespaces = useSeen(cluster, all?.map((row) => row.namespace) ?? [], namespace);
  const unavailable = polled.value?.unavailable ?? [];
  const filtered = namespace || kind || selector || name;
  return (
    <Page title={cluster} above={<a href="/console/">Kubernetes</a>}>
      <Search>
        <Field label="Filter by name" type="search" value={name} live onChange={(text) => setQuery({ name: text })} />
        <Select
          label="Namespace"
          value={namespace}
          options={namespaces.map((one) => [one, one])}
          onChange={(value) => setQuery({ namespace: value })}
        />
        <Select
          label="Kind"
          value={kind}
          options={[...new Set([...Object.keys(KINDS), ...(kind ? [kind] : [])])].map((one) => [one, one])}
          onChange={(value) => setQuery({ kind: value })}
        />
        <Field label="Label selector" value={selector} onChange={(text) => setQuery({ selector: text })} />
      </Search>
      {unavailable.map((status) => (
        <ProblemBox key={status.message} problem={problemOfStatus(status)} />
      ))}
      <Known
        polled={polled}
        show={() => (
          <>
            <Table
              name="Workloads"
              columns={COLUMNS}
              rows={rows?.map((row) => ({ ...row, cluster }))}
              nameOf={nameOf}
              empty={empty(namespace, filtered)}
            />
            <More more={more} first={polled.value?.nextPageToken ?? ""} />
          </>
        )}
      />
    </Page>
  );
}

function empty(namespace: string, filtered: string) {
  if (!filtered) return "No workloads that can be restarted.";
  const clear = (): void => setQuery({ namespace: "", kind: "", selector: "", name: "" });
  return (
    <>
      {namespace ? `No workloads in namespace ${namespace}. ` : "No workloads match. "}
      <button type="button" class="small" onClick={clear}>
        {W.clearFilter}
      </button>
    </>
  );
}

/** Namespaces that were seen: a filtered list shows one alone, and the others are still to be chosen from. */
function useSeen(cluster: string, now: readonly string[], chosen: string): readonly string[] {
  const [seen] = useState(() => new Map<string, Set<string>>());
  const names = seen.get(cluster) ?? new Set<string>();
  seen.set(cluster, names);
  for (const name of [...now, ...(chosen ? [chosen] : [])]) names.add(name);
  return [...names].sort();
}

type Row = Workload & { readonly cluster: string };

const COLUMNS: readonly Column<Row>[] = [
  { title: "Name", share: 3, names: true, cell: (row) => <a href={urlOf(nameOf(row))}>{row.name}</a> },
  {
    title: "Kind",
    share: 2,
    cell: ({ resource, group }) => <span class="quiet">{`${resource}${group && `.${group}`}`}</span>,
  },
  { title: "Namespace", share: 1.5, cell: ({ namespace }) => namespace },
  { title: "Ready", number: true, cell: ({ ready, desired }) => `${ready}/${desired}` },
  {
    title: "Paused",
    share: 1.3,
    cell: ({ paused }) => (paused ? <Badge state="PAUSED" /> : <span class="quiet">{W.no}</span>),
  },
  {
    title: "Restarted at",
    share: 2,
    cell: ({ restartedAt }) => (restartedAt ? <VendorTime text={restartedAt} /> : <span class="quiet">{W.never}</span>),
  },
  {
    title: "Actions",
    share: 1.4,
    hidden: true,
    cell: (row) => (
      <ActionButton label="Restart…" name={`Restart ${row.name}…`} intent={restartIntent(row, row.desired)} small />
    ),
  },
];
