import { crc32 } from "node:zlib";
import type { Insertable, Selectable } from "kysely";
import type { FreezeChange, SwitchedFreeze } from "../../core/freeze.ts";
import type { OperationState } from "../../core/operation.ts";
import type { AuditEvent, AuditRow, OperationRecord, Tombstone } from "./record.ts";
import type { AuditTable, FreezeTable, OperationTable, TombstoneTable } from "./schema.ts";

/** A row is not as it was written: what it says must not be used. */
export class StoreDamaged extends Error {
  override readonly name = "StoreDamaged";
}

/** Turns what the store keeps into rows and back, checking on the way back that a row is as it was written. */
export interface Rows {
  /** A new row, with one row of the audit trail.
   *
   * @param ordinal its place among those inserted with it.
   */
  ofRecord(record: OperationRecord, ordinal: number): Insertable<OperationTable>;
  /** @throws StoreDamaged */
  record(row: Selectable<OperationTable>): OperationRecord;
  ofAudit(row: Omit<AuditRow, "sequence" | keyof AuditEvent> & AuditEvent): Insertable<AuditTable>;
  /** @throws StoreDamaged */
  audit(row: Selectable<AuditTable>): AuditRow;
  ofFreeze(freeze: SwitchedFreeze): Insertable<FreezeTable>;
  /** @throws StoreDamaged */
  freeze(row: Selectable<FreezeTable>): SwitchedFreeze;
  /** The row of the audit trail about a change of freezes. */
  ofFreezeChange(change: FreezeChange, time: number, replica: string): Insertable<AuditTable>;
  ofTombstone(record: OperationRecord, requestId: string): Insertable<TombstoneTable>;
  /** @throws StoreDamaged */
  tombstone(row: Selectable<TombstoneTable>): Tombstone;
}

/** @param sealed whether rows have a checksum: for databases whose pages have none. */
export function createRows(sealed: boolean): Rows {
  const seal = <Row extends object>(row: Row): Row & { seal: number | null } => ({
    ...row,
    seal: sealed ? sealOf(row) : null,
  });
  const check = (row: { seal: number | string | null }, what: string) => {
    if (sealed && row.seal !== sealOf(row)) {
      throw new StoreDamaged(`The store is damaged: ${what} is not as it was written. Restore a backup.`);
    }
  };
  return {
    ofRecord: (record, ordinal) => seal(rowOfRecord(record, ordinal)),
    record: (row) => {
      check(row, "an operation");
      return recordOfRow(row);
    },
    ofAudit: (row) => seal(rowOfAudit(row)),
    audit: (row) => {
      check(row, "a row of the audit trail");
      return auditOfRow(row);
    },
    ofFreeze: (freeze) => seal(rowOfFreeze(freeze)),
    freeze: (row) => {
      check(row, "a freeze");
      return freezeOfRow(row);
    },
    ofFreezeChange: (change, time, replica) => seal(auditOfFreezes(change, time, replica)),
    ofTombstone: (record, requestId) => seal(rowOfTombstone(record, requestId)),
    tombstone: (row) => {
      check(row, "a tombstone");
      return tombstoneOfRow(row);
    },
  };
}

/**
 * Columns that seals are about: those of schema 1, but for the seal, what the database counts, and what no record knows. A column that a
 * later schema adds is not among them, ever: programs that know it and programs that do not work side by side.
 */
const SEALED: readonly string[] =
  `name principal request_id request_hash method action target blocks_target state version owner request
  response error evidence vendor_job warnings progress reason parent cancel_requested create_time send_time update_time end_time wake_time
  operation time replica event actor detail from_state to_state code`
    .split(/\s+/)
    .sort();

/** Checksum (CRC-32) of a row: its columns that are sealed and set, by name. */
export function sealOf(row: object): number {
  const sealed: [column: string, value: unknown][] = [];
  for (const column of SEALED) {
    const value: unknown = Reflect.get(row, column);
    if (value !== undefined && value !== null) sealed.push([column, value]);
  }
  return crc32(JSON.stringify(sealed));
}

/** Text as both databases keep it: PostgreSQL has no NUL in it, neither has half a surrogate pair. */
export const clean = (text: string): string => text.toWellFormed().replaceAll("\0", "\uFFFD");
const cleanOrNull = (text: string | undefined): string | null => (text === undefined ? null : clean(text));
const number = (value: number | string | null): number | undefined => (value === null ? undefined : Number(value));

const rowOfRecord = (record: OperationRecord, ordinal: number): Omit<Insertable<OperationTable>, "seal"> => ({
  name: record.name,
  principal: clean(record.principal),
  request_id: record.requestId ?? null,
  request_hash: record.requestHash,
  method: record.method,
  action: record.action,
  target: clean(record.target),
  blocks_target: record.blocks ? clean(record.target) : null,
  state: record.state,
  version: record.version,
  owner: record.owner,
  request: clean(record.request),
  response: cleanOrNull(record.response),
  error: cleanOrNull(record.error),
  evidence: clean(record.evidence),
  vendor_job: clean(record.vendorJob),
  warnings: record.warnings.map((token) => `${token}\n`).join(""),
  progress: clean(record.progress),
  reason: clean(record.reason),
  parent: record.parent ?? null,
  ordinal,
  audits: 1,
  cancel_requested: record.cancelRequested ? 1 : 0,
  create_time: record.createTime,
  send_time: record.sendTime ?? null,
  update_time: record.updateTime,
  end_time: record.endTime ?? null,
  wake_time: null,
});

const recordOfRow = (row: Selectable<OperationTable>): OperationRecord => ({
  name: row.name,
  principal: row.principal,
  requestId: row.request_id ?? undefined,
  requestHash: row.request_hash,
  method: row.method,
  action: row.action,
  target: row.target,
  blocks: row.blocks_target !== null,
  state: row.state,
  version: row.version,
  owner: row.owner,
  request: row.request,
  response: row.response ?? undefined,
  error: row.error ?? undefined,
  evidence: row.evidence,
  vendorJob: row.vendor_job,
  warnings: row.warnings.split("\n").slice(0, -1),
  progress: row.progress,
  reason: row.reason,
  parent: row.parent ?? undefined,
  cancelRequested: row.cancel_requested === 1,
  createTime: Number(row.create_time),
  sendTime: number(row.send_time),
  updateTime: Number(row.update_time),
  endTime: number(row.end_time),
});

const rowOfAudit = (
  row: Omit<AuditRow, "sequence" | keyof AuditEvent> & AuditEvent,
): Omit<Insertable<AuditTable>, "seal"> => ({
  operation: row.operation,
  time: row.time,
  replica: row.replica,
  event: row.event,
  actor: clean(row.actor ?? row.replica),
  detail: clean(row.detail ?? ""),
  identity: cleanOrNull(row.identity),
  from_state: row.from ?? null,
  to_state: row.to,
});

const auditOfRow = (row: Selectable<AuditTable>): AuditRow => ({
  sequence: Number(row.sequence),
  operation: row.operation,
  time: Number(row.time),
  replica: row.replica,
  event: row.event,
  actor: row.actor,
  detail: row.detail,
  identity: row.identity ?? undefined,
  from: row.from_state ?? undefined,
  to: row.to_state as OperationState, // the others are of rows that are no operation's
});

const rowOfFreeze = (freeze: SwitchedFreeze): Omit<Insertable<FreezeTable>, "seal"> => ({
  name: freeze.name,
  targets: clean(JSON.stringify(freeze.targets)),
  until_time: freeze.until,
  message: clean(freeze.message),
  reason: clean(freeze.reason),
  principal: clean(freeze.principal),
  create_time: freeze.createTime,
});

const freezeOfRow = (row: Selectable<FreezeTable>): SwitchedFreeze => ({
  name: row.name,
  targets: JSON.parse(row.targets) as string[],
  until: Number(row.until_time),
  message: row.message,
  reason: row.reason,
  principal: row.principal,
  createTime: Number(row.create_time),
});

function auditOfFreezes(change: FreezeChange, time: number, replica: string): Omit<Insertable<AuditTable>, "seal"> {
  const { name, principal, reason } = change.kind === "create" ? change.freeze : change;
  return {
    operation: `freezes/${name}`,
    time,
    replica,
    event: change.kind === "create" ? "freeze created" : "freeze lifted",
    actor: clean(principal),
    detail: clean(reason),
    identity: cleanOrNull(change.identity),
    from_state: null,
    to_state: change.kind === "create" ? "FROZEN" : "LIFTED",
  };
}

function rowOfTombstone(record: OperationRecord, requestId: string): Omit<Insertable<TombstoneTable>, "seal"> {
  return {
    principal: clean(record.principal),
    request_id: requestId,
    name: record.name,
    request_hash: record.requestHash,
    method: record.method,
    target: clean(record.target),
    state: record.state,
    response: cleanOrNull(record.response),
    error: cleanOrNull(record.error),
    code: record.error === undefined ? 0 : codeOf(record.error),
    end_time: record.endTime ?? record.updateTime,
  };
}

/** Read without the schema of google.rpc.Status: SQLite's thread does not load all that belongs to it for one number. */
const codeOf = (error: string): number => (JSON.parse(error) as { readonly code: number }).code;

const tombstoneOfRow = (row: Selectable<TombstoneTable>): Tombstone => ({
  name: row.name,
  principal: row.principal,
  requestId: row.request_id,
  requestHash: row.request_hash,
  method: row.method,
  target: row.target,
  state: row.state,
  response: row.response ?? undefined,
  error: row.error ?? undefined,
  code: row.code,
  endTime: Number(row.end_time),
});
