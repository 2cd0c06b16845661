import { readFileSync } from "node:fs";
import { CommandMistake } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import type { ClientContext } from "./client.ts";
import { openFile, pathOf, useContext } from "./client-file.ts";
import { EXIT } from "./exit.ts";
import type { Parsed } from "./parse.ts";
import { tableOf } from "./render.ts";

/** What `config` knows. */
export const CONFIG_COMMANDS = ["get-contexts", "current-context", "use-context", "view"] as const;

/** Looks after the client's file, and answers the exit code. */
export function config(parsed: Parsed, { out, err, env }: ClientContext): number {
  const [command, name, ...more] = parsed.operands;
  if (command === undefined || !CONFIG_COMMANDS.some((known) => known === command)) {
    throw new CommandMistake(`config needs a command: ${CONFIG_COMMANDS.join(", ")}`);
  }
  const takesName = command === "use-context";
  if (takesName ? name === undefined || more.length > 0 : name !== undefined) {
    throw new CommandMistake(takesName ? "use-context needs one NAME" : `${command} takes nothing`);
  }
  const opened = openFile(env);
  if (opened === undefined) {
    if (takesName) throw new CommandMistake(`there is no ${pathOf(env)}, and so no context ${JSON.stringify(name)}`);
    err(`there is no ${pathOf(env)}\n`);
    return command === "current-context" ? EXIT.REFUSED : EXIT.DONE;
  }
  const { path, file } = opened;
  switch (command) {
    case "use-context":
      useContext(opened, name ?? "");
      out(`switched to context ${JSON.stringify(plain(name ?? ""))}\n`);
      return EXIT.DONE;
    case "current-context":
      if (file.currentContext === "") {
        err("error: current_context is not set\n");
        return EXIT.REFUSED;
      }
      out(`${plain(file.currentContext)}\n`);
      return EXIT.DONE;
    case "view":
      out(readFileSync(path, "utf8")); // a secret is never in it
      return EXIT.DONE;
    default: {
      if (parsed.text("output") === "name") {
        out(file.contexts.map((context) => `${plain(context.name)}\n`).join(""));
        return EXIT.DONE;
      }
      const rows = file.contexts.map((context) =>
        [
          context.name === file.currentContext ? "*" : "",
          context.name,
          context.address,
          context.cluster,
          context.namespace,
        ].map(plain),
      );
      out(tableOf([["CURRENT", "NAME", "ADDRESS", "CLUSTER", "NAMESPACE"], ...rows]));
      return EXIT.DONE;
    }
  }
}
