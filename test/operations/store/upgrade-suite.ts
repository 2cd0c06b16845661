import { sql } from "kysely";
import { expect, it } from "vitest";
import { MIGRATIONS, type Migration } from "../../../src/operations/store/migrations.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import { type Store, StoreRefused } from "../../../src/operations/store/store.ts";
import { record } from "../records.ts";

/** What a release after this one could do: a column that has a default, one that may be null, a table and an index. */
export const NEXT: Migration = async (trx, { text }) => {
  for (const statement of [
    sql`alter table operations add column weight integer not null default 7`,
    sql`alter table operations add column label ${text}`,
    sql`alter table audit add column place ${text} not null default 'here'`,
    sql`alter table tombstones add column weight bigint not null default 7`,
    sql`create table notes (operation ${text} primary key, note ${text} not null)`,
    sql`create index operations_label on operations (label) where label is not null`,
  ]) {
    await statement.execute(trx);
  }
};

/** How a suite opens its store: as this release, or as an imitation of the next. */
export type OpenAs = (options?: {
  readonly migrations?: readonly Migration[];
  readonly minProgram?: number;
}) => Promise<Store>;

/** Everything that a program does with a store: an operation from its beginning to its tombstone. */
async function useStore(store: Store): Promise<void> {
  const one = record({ requestId: crypto.randomUUID() });
  await store.insert([one], { event: "accepted" });
  expect(await store.get(one.name)).toEqual(one);
  const ended = await store.change(one, { state: "SUCCEEDED", blocks: false, endTime: 1 }, { event: "ended" });
  expect(await store.audit(one.name)).toHaveLength(2);
  expect((await store.list({ where: [], limit: 100 })).map(({ name }) => name)).toContain(one.name);
  expect(await store.remove(ended as OperationRecord)).toBe(true);
  expect(await store.find(one.principal, one.requestId ?? "")).toMatchObject({ tombstone: { name: one.name } });
}

/** What holds for a store that a release and the next one use. */
export function upgradeSuite(name: string, open: () => Promise<OpenAs & AsyncDisposable>): void {
  const next = { migrations: [...MIGRATIONS, NEXT] };

  it(`lets a program work on with ${name} to which a newer one has added`, async () => {
    await using as = await open();
    const left = record();
    {
      await using store = await as();
      await store.insert([left], { event: "accepted" });
    }
    {
      await using newer = await as(next);
      expect(await newer.get(left.name)).toEqual(left);
      await useStore(newer);
    }
    const between = record();
    {
      await using back = await as();
      expect(await back.get(left.name)).toEqual(left);
      await useStore(back);
      await back.insert([between], { event: "accepted" });
      expect((await back.summary()).schemaVersion).toBe(MIGRATIONS.length + 1);
    }
    await using newer = await as(next);
    expect(await newer.get(between.name)).toEqual(between);
    expect(await newer.audit(between.name)).toHaveLength(1);
    await useStore(newer);
  });

  it(`refuses ${name} that is no longer for it, and leaves it as it is`, async () => {
    await using as = await open();
    const known = MIGRATIONS.length;
    const later = { migrations: [...MIGRATIONS, NEXT], minProgram: known + 1 };
    await (await as(later))[Symbol.asyncDispose]();
    const error: unknown = await as().then(
      (store) => store[Symbol.asyncDispose](),
      (refused: unknown) => refused,
    );
    expect(error).toBeInstanceOf(StoreRefused);
    expect(String(error)).toBe(
      `StoreRefused: The store has schema version ${known + 1}, which programs that know versions from ${known + 1} on may use, and this restartd knows versions up to ${known}: a newer restartd has used it. Start that newer version again, or restore a backup from before the upgrade.`,
    );
    await (await as(later))[Symbol.asyncDispose]();
  });
}
