import pg from "pg";
import { StoreRefused } from "../store.ts";

/** Gives an address of PostgreSQL with our credentials in it, as it is when it is asked for. */
export type GiveAddress = () => string;

/**
 * An address for connections that are made later: what is given now, so that a new password needs no new start. While it cannot be given,
 * or cannot be read, it stays what it was.
 *
 * @param warn is told when it cannot be, in words that have nothing of the address in them.
 * @throws StoreRefused when there is none that can be read at the beginning.
 */
export function followAddress(give: GiveAddress, warn: (message: string) => void): GiveAddress {
  let known = give();
  const wrong = wrongAddress(known);
  if (wrong !== undefined) throw new StoreRefused(wrong);
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
    if (now !== known && wrongAddress(now) !== undefined) {
      tell("the new one is not postgres://user:password@host:port/database, or names files that cannot be read");
      return known;
    }
    warned = "";
    known = now;
    return known;
  };
}

/**
 * Why `pg` cannot use an address, in a sentence without anything that may be secret: what `pg` says has the address in it, with the
 * password. Undefined: it can.
 */
export function wrongAddress(address: string): string | undefined {
  try {
    new pg.Client({ connectionString: address });
    return undefined;
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException;
    return code !== undefined && path !== undefined
      ? `The address of the PostgreSQL store names ${path}, which cannot be read (${code}): sslrootcert, sslcert and sslkey are paths of PEM files.`
      : "The address of the PostgreSQL store cannot be read: it is postgres://user:password@host:port/database, and special characters in the password are percent-encoded.";
  }
}
