import manifest from "../../package.json" with { type: "json" };

/** This program's version. */
export const VERSION: string = manifest.version;

/** How this program calls itself in the requests that it makes. */
export const USER_AGENT = `restartd/${VERSION}`;
