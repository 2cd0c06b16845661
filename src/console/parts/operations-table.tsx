import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { ComponentChildren } from "preact";
import type { Operation } from "../../../gen/google/longrunning/operations_pb.ts";
import { metadataOf, outcomeOf, stateOf } from "../api/operations.ts";
import { problemOfStatus } from "../api/problem.ts";
import { now } from "../browser.ts";
import { urlOf } from "../router.ts";
import { shortNameOf } from "../targets/names.ts";
import { OPERATION_OUTCOMES, W } from "../words.ts";
import { Badge } from "./badge.tsx";
import { type Column, Table } from "./table.tsx";
import { duration, Time, useClock } from "./time.tsx";

/** What {@link OperationsTable} is given. */
export interface OperationsTableProps {
  readonly name: string;
  /** Undefined while they are not known. */
  readonly operations: readonly Operation[] | undefined;
  readonly empty: ComponentChildren;
  /** Whether they are about different targets. */
  readonly targets?: boolean;
  /** Whether they are parts of one call, which all have its reason: each says why it failed. */
  readonly parts?: boolean;
}

/** Operations, one a row. */
export function OperationsTable({ name, operations, empty, targets, parts }: OperationsTableProps) {
  const action: Column<Operation> = {
    title: W.action,
    share: 1.5,
    names: true,
    cell: (row) => <a href={urlOf(row.name)}>{metadataOf(row)?.action ?? row.name}</a>,
  };
  const reason: Column<Operation> = {
    title: W.reason,
    share: 2,
    cell: (row) => <span class="text">{metadataOf(row)?.reason || W.none}</span>,
  };
  const by: Column<Operation> = { title: W.by, share: 1.4, cell: (row) => metadataOf(row)?.principal };
  const columns: Column<Operation>[] = [
    { title: W.state, share: 1.7, cell: (row) => <Badge state={stateOf(metadataOf(row))} /> },
    {
      title: W.outcome,
      share: 1.6,
      cell: (row) => OPERATION_OUTCOMES[outcomeOf(metadataOf(row))] ?? outcomeOf(metadataOf(row)),
    },
    action,
    ...(targets
      ? [{ title: W.target, share: 2.6, cell: (row: Operation) => <Target name={metadataOf(row)?.target ?? ""} /> }]
      : []),
    ...(parts ? [{ title: W.result, share: 3, cell: errorOf }] : [reason, by]),
    { title: W.created, share: 1.6, cell: (row) => <Time of={metadataOf(row)?.createTime} /> },
    { title: W.duration, share: 1.2, number: true, cell: (row) => <Lasted operation={row} /> },
  ];
  return <Table name={name} columns={columns} rows={operations} nameOf={(row) => row.name} empty={empty} />;
}

function Target({ name }: { readonly name: string }) {
  return <a href={urlOf(name)}>{shortNameOf(name)}</a>;
}

function errorOf({ result }: Operation) {
  if (result.case !== "error") return W.none;
  const { reason, message } = problemOfStatus(result.value);
  return (
    <span class="text">
      <code>{reason}</code> {message}
    </span>
  );
}

function Lasted({ operation }: { readonly operation: Operation }) {
  const { createTime, endTime } = metadataOf(operation) ?? {};
  if (createTime === undefined) return null;
  if (endTime !== undefined) return <>{duration(timestampMs(endTime) - timestampMs(createTime))}</>;
  return <Running since={timestampMs(createTime)} />;
}

function Running({ since }: { readonly since: number }) {
  useClock();
  return <>{duration(Math.max(0, Math.floor((now() - since) / 1000) * 1000))}</>;
}
