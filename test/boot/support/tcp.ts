/** This computer's side of a guest's TCP server. */
import { once } from "node:events";
import net from "node:net";

/** What a server says that closes the connection. */
export async function said(port: number): Promise<string> {
  const socket = net.connect(port, "127.0.0.1").setEncoding("utf8");
  let text = "";
  socket.on("data", (piece: string) => (text += piece));
  await once(socket, "close");
  return text;
}
