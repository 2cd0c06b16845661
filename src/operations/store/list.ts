import { type Selectable, sql } from "kysely";
import { clean } from "./rows.ts";
import type { Db, OperationTable } from "./schema.ts";
import type { Comparison, ListQuery } from "./store.ts";

const COLUMNS = {
  target: "target",
  principal: "principal",
  parent: "parent",
  state: "state",
  createTime: "create_time",
} as const satisfies Record<Comparison["field"], keyof OperationTable>;

/** A page of operations, newest first. The names are found in an index that has every column filters are about. */
export function listOperations(db: Db, { where, limit, after }: ListQuery): Promise<Selectable<OperationTable>[]> {
  let names = db.selectFrom("operations").select("name");
  for (const { field, operator, value } of where) {
    names = names.where(COLUMNS[field], operator, typeof value === "string" ? clean(value) : value);
  }
  if (after !== undefined) {
    names = names.where(sql<boolean>`(create_time, name) < (${after.createTime}, ${after.name})`);
  }
  const page = names.orderBy("create_time", "desc").orderBy("name", "desc").limit(limit);
  return db
    .selectFrom("operations")
    .selectAll()
    .where("name", "in", page)
    .orderBy("create_time", "desc")
    .orderBy("name", "desc")
    .execute();
}
