import { type ParseArgsConfig, parseArgs } from "node:util";

/** What Node's parser makes of a command line. */
type Read<Config extends ParseArgsConfig> = ReturnType<typeof parseArgs<Config>>;

/** Reads a command line by Node's parser, strictly: what it says, or what is wrong with it in the parser's words. */
export function readArgs<const Config extends ParseArgsConfig>(
  config: Config,
): Read<Config> | { readonly wrong: string } {
  try {
    return parseArgs(config);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // What follows is advice about dashes, over several lines, of which part is not so here.
    return { wrong: message.replace(/(\.?\n|\. To specify).*$/s, "") };
  }
}
