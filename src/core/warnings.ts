/** What a warning's token means to whoever restarts something: the page and the command line say the same, and a dry run stores no other words. */
export const WARNING_SENTENCES: Readonly<Record<string, string | undefined>> = {
  NO_REPLICAS: "There are no pods to restart.",
  RECREATE_DOWNTIME: "All pods go before new ones come: there is downtime.",
  PARTITIONED: "A partition keeps some pods as they are.",
  PREFLIGHT_SKIPPED: "restartd may not read this object: it could not look first.",
  MANAGED_BY_CONTROLLER: "Something else owns this object and may take the restart back.",
  SERVER_WARNING: "The API server sent a warning; the operation will show it.",
};
