#!/usr/bin/env node
/** The client runs on this Node, out of one file; everything else is the server's, on the Node that the package brings. */
const CLIENT = /^(restart|rollout|refresh|retry|flush|get|operations|config|completion|version|help|__complete)$/;
const args = process.argv.slice(2);
if (CLIENT.test(args[0] ?? "")) {
  const { client } = await import("../gen/client/restartd.js");
  await client(args);
} else {
  const { serve } = await import("./server.js");
  serve(args);
}
