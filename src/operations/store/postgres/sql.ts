import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely";
import { MIGRATIONS, MIN_PROGRAM } from "../migrations.ts";
import type { Tables } from "../schema.ts";
import { DIALECT, MIGRATION_LOCK } from "./prepare.ts";

/** The newest schema version. */
export const NEWEST = MIGRATIONS.length;

/**
 * Everything that a start would run to bring a PostgreSQL store from a schema version to the newest, for who defines tables with another
 * role than restartd's: one transaction, refused by a store of another version.
 *
 * @param from schema version, at most {@link NEWEST}; 0: there is no store yet.
 */
export async function definitionsFrom(from: number): Promise<string> {
  if (from === NEWEST) return `-- A store of schema version ${NEWEST} has all that this restartd needs.\n`;
  const head = `-- restartd: the store's tables on PostgreSQL, from schema version ${from} to ${NEWEST}.`;
  const statements = [
    "begin",
    `select pg_advisory_xact_lock(${MIGRATION_LOCK})`,
    ...(from === 0 ? MADE : [checkOf(from)]),
    ...(await statementsFrom(from)),
    setMeta("schema_version", `'${NEWEST}'`),
    setMeta("min_program", `'${MIN_PROGRAM}'`),
    "commit",
  ];
  return `${head}\n${GRANTS}\n${statements.map((statement) => `${statement};\n`).join("")}`;
}

const GRANTS = `-- Where another role than restartd's runs it, restartd's role needs, each time:
--   grant select, insert, update, delete on all tables in schema public to ROLE;`;

const MADE = [
  'create table meta (key text collate "C" primary key, value text collate "C" not null)',
  "insert into meta (key, value) values ('store_id', gen_random_uuid()::text)",
];

const checkOf = (from: number): string => `do $$ begin
  if (select value from meta where key = 'schema_version') is distinct from '${from}' then
    raise exception 'the store does not have schema version ${from}';
  end if;
end $$`;

const setMeta = (key: string, value: string): string =>
  `insert into meta (key, value) values ('${key}', ${value}) on conflict (key) do update set value = excluded.value`;

/** What the migrations would say to a database. */
async function statementsFrom(from: number): Promise<string[]> {
  const statements: string[] = [];
  const db = new Kysely<Tables>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (given) => new PostgresIntrospector(given),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    log: ({ query }) => {
      if (query.parameters.length > 0) throw new Error("a migration defines, and reads and writes no rows");
      statements.push(dedent(query.sql));
    },
  });
  await db.transaction().execute(async (trx) => {
    for (const migration of MIGRATIONS.slice(from)) await migration(trx, DIALECT);
  });
  return statements;
}

/** Lines as deep as they stand in a program are less deep by themselves. */
function dedent(text: string): string {
  const depth = Math.min(...[...text.matchAll(/\n( *)\S/g)].map(([, spaces = ""]) => spaces.length));
  return Number.isFinite(depth) ? text.replaceAll(`\n${" ".repeat(depth)}`, "\n") : text;
}
