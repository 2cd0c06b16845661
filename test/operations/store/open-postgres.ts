import { randomUUID } from "node:crypto";
import { openPostgresStore, type PostgresStoreOptions } from "../../../src/operations/store/postgres/open.ts";
import type { Store } from "../../../src/operations/store/store.ts";

/** Opens the store at an address, as a replica of its own. */
export const openAt = (url: string, options: Partial<PostgresStoreOptions> = {}): Promise<Store> =>
  openPostgresStore({
    url: () => url,
    replica: randomUUID(),
    now: () => new Date(),
    warn: () => undefined,
    ...options,
  });
