/** An HTTP server whose handler, behind an await, meets an order without a customer: /fail. Everything else is answered. */
import http from "node:http";
import { setTimeout as delay } from "node:timers/promises";

interface Order {
  customer?: { name: string };
}

let answered = 0;

async function customerOf(order: Order): Promise<string> {
  await delay(1);
  return order.customer!.name;
}

async function answer(url: string): Promise<string> {
  return await customerOf(url === "/fail" ? {} : { customer: { name: `answer ${++answered}\n` } });
}

http
  .createServer((request, response) => {
    void answer(request.url!).then((text) => response.end(text));
  })
  .listen(80, () => console.log("listening"));
