/** Five packages from npm in one program: router, template engine, dates, validator, markdown. */
import http from "node:http";
import dayjs from "dayjs";
import utc from "dayjs/plugin/utc.js";
import findMyWay from "find-my-way";
import { marked } from "marked";
import Mustache from "mustache";
import { z } from "zod";

dayjs.extend(utc);
const Order = z.object({ name: z.string().min(2), count: z.coerce.number().int().positive(), when: z.iso.date() });

const router = findMyWay({ defaultRoute: (_request, response) => void response.writeHead(404).end("no such page") });
router.on("GET", "/orders/:name/:count", (_request, response, parameters) => {
  const order = Order.safeParse({ ...parameters, when: "2026-11-30" });
  if (!order.success) {
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify(order.error.issues.map(({ path, code }) => [path.join("."), code])));
    return;
  }
  const due = dayjs.utc(order.data.when).add(5, "day").format("dddd, D MMMM YYYY");
  const text = Mustache.render("# {{name}}\n\n{{#many}}*{{count}}* of them{{/many}}, due **{{due}}**", {
    ...order.data,
    many: order.data.count > 1,
    due,
  });
  response.writeHead(200, { "content-type": "text/html" }).end(marked.parse(text));
});

http
  .createServer((request, response) => router.lookup(request, response))
  .listen(80, () => console.log("five packages serve"));
