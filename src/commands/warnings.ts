import { createClient } from "@connectrpc/connect";
import { Operations } from "../../gen/google/longrunning/operations_pb.ts";
import type { Client } from "./client.ts";
import { metadataOf } from "./render.ts";

/** Reads the sentences of an operation's warnings; none where it cannot be read, since they are not worth a failure. */
export const warningsReader =
  ({ transport, reading }: Client) =>
  async (operation: string): Promise<readonly string[]> => {
    try {
      const read = await createClient(Operations, transport).getOperation({ name: operation }, reading);
      return metadataOf(read)?.warnings ?? [];
    } catch {
      return [];
    }
  };
