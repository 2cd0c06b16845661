import type { Runtime } from "../core/target.ts";

/**
 * What a process knows of its accounts, made when an account is first asked about: the targets of a process share an account, and so its
 * vendor's patience and what is known of its credentials.
 *
 * @returns gives what is known of an account, by what names it without its secret.
 */
export function perAccount<Known>(
  create: (monotonic: Runtime["monotonic"]) => Known,
): (runtime: Pick<Runtime, "monotonic">, account: string) => Known {
  const processes = new WeakMap<object, Map<string, Known>>();
  return (runtime, account) => {
    const accounts = processes.get(runtime) ?? new Map<string, Known>();
    processes.set(runtime, accounts);
    const known = accounts.get(account) ?? create(runtime.monotonic);
    accounts.set(account, known);
    return known;
  };
}
