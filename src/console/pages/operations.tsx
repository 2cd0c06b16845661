import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import { filterOf } from "../api/filter.ts";
import { listOperations } from "../api/operations.ts";
import { usePoll } from "../api/poll.ts";
import { Field, Search, Select } from "../parts/filter.tsx";
import { Known } from "../parts/known.tsx";
import { More, useMore } from "../parts/more.tsx";
import { OperationsTable } from "../parts/operations-table.tsx";
import { Page } from "../parts/page.tsx";
import { setQuery, usePlace } from "../router.ts";
import { STATES, W } from "../words.ts";

const PAGE = 50;
const EVERY_MS = 5000;

/** Every operation, newest first. What is filtered by is in the address. */
export function OperationsPage() {
  const { query } = usePlace();
  const get = (name: string): string => query.get(name) ?? "";
  const written = get("filter");
  const filters = {
    state: get("state").replace(/^STATE_/, ""),
    target: get("target"),
    principal: get("principal"),
    since: get("since"),
    until: get("until"),
  };
  const filter = written || filterOf(filters);
  const more = useMore<Operation>(filter, async (pageToken, signal) => {
    const page = await listOperations({ filter, pageSize: PAGE, pageToken }, signal);
    return { rows: page.operations, next: page.nextPageToken };
  });
  const polled = usePoll(`operations ${filter}`, {
    everyMs: more.rows.length > 0 ? undefined : EVERY_MS,
    ask: (signal) => listOperations({ filter, pageSize: PAGE }, signal),
  });
  const advanced = written !== "";
  const control = (name: keyof typeof filters) => ({
    value: advanced ? "" : filters[name],
    disabled: advanced,
    ...(advanced && { placeholder: W.advanced }),
    onChange: (value: string) => setQuery({ [name]: value }),
  });
  const time = (name: "since" | "until") => ({
    ...control(name),
    type: "datetime-local" as const,
    value: advanced ? "" : toLocal(filters[name]),
    onChange: (value: string) => setQuery({ [name]: fromLocal(value) }),
  });
  const clear = (): void => setQuery({ filter: "", state: "", target: "", principal: "", since: "", until: "" });
  return (
    <Page title={W.operations}>
      <Search>
        <Select
          label="State"
          {...control("state")}
          options={Object.entries(STATES).map(([name, word = name]) => [name, word])}
        />
        <Field label="Target" {...control("target")} />
        <Field label="By" {...control("principal")} />
        <Field label="Since" {...time("since")} />
        <Field label="Until" {...time("until")} />
        <Field label="Filter (AIP-160)" value={written} wide onChange={(text) => setQuery({ filter: text })} />
        {filter !== "" && (
          <button type="button" class="small" onClick={clear}>
            {W.clearFilter}
          </button>
        )}
      </Search>
      <Known
        polled={polled}
        show={(page) => (
          <>
            <OperationsTable
              name={W.operations}
              operations={page && [...page.operations, ...more.rows]}
              empty={filter === "" ? <NoOperations /> : W.noOperationsMatch}
              targets
            />
            <More more={more} first={page?.nextPageToken ?? ""} />
          </>
        )}
      />
    </Page>
  );
}

function NoOperations() {
  const [before, command, after] = W.noOperations;
  return (
    <>
      {before}
      <code>{command}</code>
      {after}
    </>
  );
}

/** A moment of the address as the control has it: the visitor's own clock, without a zone. */
function toLocal(iso: string): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

function fromLocal(text: string): string {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
