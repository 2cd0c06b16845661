import { createClient } from "@connectrpc/connect";
import { Operations } from "../../../gen/google/longrunning/operations_pb.ts";
import { operationOf, pending, settle } from "../api/pending.ts";
import { usePoll } from "../api/poll.ts";
import { problemOf } from "../api/problem.ts";
import { transport } from "../api/transport.ts";
import { urlOf } from "../router.ts";
import { useServer } from "../server.ts";
import { useStore } from "../store.ts";
import { W } from "../words.ts";

const client = createClient(Operations, transport);

/** What became of a call whose answer nobody was there to see. It is looked for by its name, and nothing is sent. */
export function PendingNotice() {
  const call = useStore(pending);
  const principal = useServer()?.principal;
  const known = call !== undefined && principal !== undefined;
  const { value } = usePoll(known ? `pending ${call.requestId}` : undefined, {
    everyMs: 2000,
    ask: async (signal) => {
      const name = await operationOf(principal ?? "", call?.requestId ?? "");
      try {
        await client.getOperation({ name }, { signal });
        return name;
      } catch (error) {
        if (problemOf(error).reason === "OPERATION_NOT_FOUND") return "";
        throw error;
      }
    },
  });
  if (call === undefined) return null;
  return (
    <div class="banner-note" data-testid="pending">
      <span>
        {W.pendingTitle}: {call.title}.{" "}
        {value === undefined ? (
          W.asking
        ) : value === "" ? (
          W.pendingNotFound
        ) : (
          <>
            {W.pendingFound} <a href={urlOf(value)}>{value}</a>
          </>
        )}
      </span>
      <button type="button" class="small" onClick={settle}>
        {W.close}
      </button>
    </div>
  );
}
