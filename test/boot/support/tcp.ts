/** This computer's side of a guest's TCP server. */
import { once } from "node:events";
import net from "node:net";

/** How long a server may say nothing. */
const SILENCE_MS = 120_000;

/** What a server says that closes the connection. @throws when it says nothing more and leaves the connection open */
export async function said(port: number): Promise<string> {
  const socket = net.connect(port, "127.0.0.1").setEncoding("utf8");
  let text = "";
  socket.setTimeout(SILENCE_MS, () =>
    socket.destroy(new Error(`port ${port}: silent for ${SILENCE_MS / 1000} s, after ${JSON.stringify(text)}`)),
  );
  socket.on("data", (piece: string) => (text += piece));
  await once(socket, "close");
  return text;
}
