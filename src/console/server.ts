import { createClient } from "@connectrpc/connect";
import { type Server, ServerService } from "../../gen/restart/server/v1/server_service_pb.ts";
import { transport } from "./api/transport.ts";
import { createStore, useStore } from "./store.ts";

const client = createClient(ServerService, transport);

/** What the server tells of itself; undefined before it has. */
export const server = createStore<Server | undefined>(undefined);

/** Asks it. */
export async function askServer(signal: AbortSignal): Promise<Server> {
  const about = await client.getServer({}, { signal });
  server.set(about);
  return about;
}

/** What the server tells of itself; undefined before it has. */
export const useServer = (): Server | undefined => useStore(server);
