/** An HTTP server: a page, a greeting, files that were packed in, an echo, and what is known of the guest as JSON. */
import { createReadStream, existsSync, readdirSync, statSync } from "node:fs";
import http from "node:http";

const started = Date.now();
let requests = 0;

function page(): string {
  const files = readdirSync("/")
    .map((name) => `<li><a href="/files/${encodeURIComponent(name)}">${name}</a></li>`)
    .join("");
  return `<!doctype html><meta charset="utf-8"><title>Typevisor</title>
<h1>A TypeScript program as a guest</h1>
<p>It has answered ${requests} requests in ${((Date.now() - started) / 1000).toFixed(1)} s.</p>
<ul>${files}</ul>
`;
}

function sendFile(path: string, response: http.ServerResponse): void {
  if (!existsSync(path) || !statSync(path).isFile()) {
    response.writeHead(404, { "content-type": "text/plain" }).end(`there is no ${path}\n`);
    return;
  }
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8", "content-length": statSync(path).size });
  createReadStream(path).pipe(response);
}

const server = http.createServer((request, response) => {
  requests++;
  const url = new URL(request.url ?? "/", "http://guest");
  if (url.pathname === "/") {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(page());
  } else if (url.pathname === "/hello") {
    response.setHeader("content-type", "text/plain; charset=utf-8");
    response.end(`Hello, ${url.searchParams.get("name") ?? "world"}!\n`);
  } else if (url.pathname === "/status") {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ requests, arguments: process.argv.slice(2), memory: process.memoryUsage().rss }));
  } else if (url.pathname === "/echo" && request.method === "POST") {
    request.pipe(response);
  } else if (url.pathname.startsWith("/files/")) {
    sendFile(decodeURIComponent(url.pathname.slice("/files".length)), response);
  } else {
    response.writeHead(404, { "content-type": "text/plain" }).end("not here\n");
  }
});
server.listen(80, () => console.log("the server listens on port 80"));
