/** A UUID, with or without its dashes, and with what Huawei Cloud's database services put behind it, such as `in09`. */
const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}(?:in\d{2})?$/i;

/** An id as it is compared: letter case says nothing in one that has the form of a UUID, and may say something in any other. */
export const lowerCaseId = (id: string): string => (UUID.test(id) ? id.toLowerCase() : id);

/**
 * A target's name, or a pattern of such, as it is compared. In a name the ids of projects and of what is in them are those that the schema
 * says it of; names of clusters and sites are whatever their configuration calls them.
 */
export const lowerCaseTarget = (name: string): string =>
  name.startsWith("projects/") ? name.split("/").map(lowerCaseId).join("/") : name;
