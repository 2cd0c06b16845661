import manifest from "../../package.json" with { type: "json" };

/** This program's version. */
export const VERSION: string = manifest.version;

/** The commit that it was built of; empty when it runs from its sources. */
export const COMMIT: string = process.env.RESTARTD_COMMIT ?? "";

/** What `--version` prints: enough to tell two builds apart. */
export const versionLine = (commit: string, node: string): string =>
  `restartd ${VERSION} (${commit === "" ? "from its sources" : `commit ${commit}`}, Node ${node})`;

/** How this program calls itself in the requests that it makes. */
export const USER_AGENT = `restartd/${VERSION}`;
