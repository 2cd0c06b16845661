import pg from "pg";
import { StoreRefused } from "../store.ts";

/** Gives an address of PostgreSQL with our credentials in it, as it is when it is asked for. */
export type GiveAddress = () => string;

/**
 * An address for connections that are made later: what is given now, so that a new password needs no new start. While it cannot be given,
 * or cannot be read, it stays what it was.
 *
 * @param warn is told when it cannot be, and of TLS that is not what it seems, in words that have nothing of the address in them.
 * @throws StoreRefused when there is none that can be read at the beginning.
 */
export function followAddress(give: GiveAddress, warn: (message: string) => void): GiveAddress {
  let given = give();
  const wrong = wrongAddress(given);
  if (wrong !== undefined) throw new StoreRefused(wrong);
  for (const risk of risksOf(given)) warn(risk);
  let known = verified(given);
  let warned = "";
  const tell = (what: string): void => {
    if (what !== warned) warn(`the address of the PostgreSQL store stays what it was: ${what}`);
    warned = what;
  };
  return () => {
    let now: string;
    try {
      now = give();
    } catch (error) {
      tell(error instanceof Error ? error.message : "it cannot be had");
      return known;
    }
    if (now !== given && wrongAddress(now) !== undefined) {
      tell("the new one is not postgres://user:password@host:port/database, or names files that cannot be read");
      return known;
    }
    warned = "";
    if (now !== given) for (const risk of risksOf(now)) warn(risk);
    given = now;
    known = verified(now);
    return known;
  };
}

/** What `pg` takes from the environment where an address does not say it: https://node-postgres.com/features/connecting. */
const READ_BY_PG =
  `PGHOST PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGAPPNAME PGOPTIONS PGREPLICATION PGSSLMODE PGSSLNEGOTIATION
  PGCLIENT_ENCODING PGBINARY PGCONNECT_TIMEOUT`.split(/\s+/);

/** Has `pg` read nothing but addresses: a variable of somebody else's must not lead to another database, or turn TLS off. */
export function ignoreEnvironment(): void {
  for (const name of READ_BY_PG) delete process.env[name];
}

/**
 * Why `pg` cannot use an address, in a sentence without anything that may be secret: what `pg` says has the address in it, with the
 * password. Undefined: it can.
 */
export function wrongAddress(address: string): string | undefined {
  if (HOSTS.test(address)) {
    return "The address of the PostgreSQL store names several hosts: let it name one that always leads to the primary, such as a Service, a proxy or a virtual address, or change it in its file (store.postgres.url.file) when the primary moves.";
  }
  try {
    new pg.Client({ connectionString: verified(address) });
    return undefined;
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    return code !== undefined && path !== undefined
      ? `The address of the PostgreSQL store names ${path}, which cannot be read (${code}): sslrootcert, sslcert and sslkey are paths of PEM files.`
      : "The address of the PostgreSQL store cannot be read: it is postgres://user:password@host:port/database, and special characters in the password are percent-encoded.";
  }
}

/** Several hosts, as libpq takes them: `pg` would look the whole list up as one name. */
const HOSTS = /^[a-z]+:\/\/([^/?#@]*@)?[^/?#@]*,[^/?#@]*([/?#]|$)|[?&]host=[^&#]*,/i;

/**
 * Modes of TLS that `pg` takes for verify-full, and says so on stderr, where the log is: https://node-postgres.com/features/ssl. What libpq
 * means by them would let whoever is in between read along.
 */
const TAKEN = /([?&]sslmode=)(prefer|require|verify-ca)(?=[&#]|$)/;

/** `pg` is asked for libpq's meanings. */
const LIBPQ = /[?&]uselibpqcompat=true(?=[&#]|$)/;

const verified = (address: string): string =>
  LIBPQ.test(address) ? address : address.replaceAll(new RegExp(TAKEN, "g"), "$1verify-full");

/** What an operator should know of an address that can be used. */
function risksOf(address: string): string[] {
  const [, , mode] = LIBPQ.test(address) ? [] : (TAKEN.exec(address) ?? []);
  const ssl: unknown = Reflect.get(new pg.Client({ connectionString: verified(address) }), "ssl");
  const unverified = typeof ssl === "object" && ssl !== null && Reflect.get(ssl, "rejectUnauthorized") === false;
  return [
    ...(mode === undefined
      ? []
      : [`the address of the PostgreSQL store says sslmode=${mode}, which is taken for sslmode=verify-full: say that`]),
    ...(unverified
      ? [
          "PostgreSQL's certificate is not verified: whoever is in between can read and change operations; say sslmode=verify-full in the store's address, and sslrootcert",
        ]
      : []),
  ];
}
