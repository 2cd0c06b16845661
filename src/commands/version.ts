import { createClient } from "@connectrpc/connect";
import { ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { CommandMistake } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import { VERSION } from "../core/version.ts";
import type { Client, ClientContext } from "./client.ts";
import { EXIT } from "./exit.ts";
import type { Parsed } from "./parse.ts";
import { problemOf, sentenceOf } from "./problem.ts";
import { documentOf } from "./yaml.ts";

/** Says the client's version, and the server's where it can be reached; answers the exit code. */
export async function version(parsed: Parsed, client: () => Client, { out, err }: ClientContext): Promise<number> {
  if (parsed.operands.length > 0) throw new CommandMistake("version takes nothing");
  const format = parsed.text("output");
  const isDocument = format === "json" || format === "yaml";
  const say = (server?: string): void => {
    if (isDocument) out(documentOf(format, { client: VERSION, ...(server !== undefined && { server }) }));
    else out(`client ${VERSION}\n${server === undefined || server === "" ? "" : `server ${plain(server)}\n`}`);
  };
  if (parsed.has("client")) {
    say();
    return EXIT.DONE;
  }
  const { address, transport, reading } = client();
  try {
    const server = await createClient(ServerService, transport).getServer({}, reading);
    say(server.version);
    if (server.version === "") err("the server tells its version to those alone who say who they are\n");
    return EXIT.DONE;
  } catch (error) {
    say();
    const problem = problemOf(error, address, false);
    err(`error: ${sentenceOf(problem)}\n`);
    return problem.exit;
  }
}
