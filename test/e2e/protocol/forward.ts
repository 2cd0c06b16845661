/** Carries what the conformance suite's runner says to a server that it starts to whoever starts it, and the answer back: `forward.ts SOCKET`. */
import { connect } from "node:net";

const [, , path = ""] = process.argv;
const socket = connect(path);
process.stdin.pipe(socket, { end: false }); // the server lives as long as this process does
socket.pipe(process.stdout);
