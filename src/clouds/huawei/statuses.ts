/**
 * Whether a status is, by its name, one in which something is being done that will end: RESIZING, CREATE_DATABASE, Upgrading. The sets
 * of statuses are open, so that a table of them is never whole (contracts: huaweicloud §B.2, §C.3, §D.2).
 */
export function isTransient(status: string): boolean {
  const name = status.toUpperCase();
  if (name === "RUNNING" || /FAIL(?:ED)?$/.test(name)) return false;
  return /ING$/.test(name) || /^(?:CREATE|DROP|MODIFY|SET)_/.test(name);
}
