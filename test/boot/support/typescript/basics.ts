/** Console, arguments, timers, promises, files and text; ends as its first argument says. */
import { readFileSync, readdirSync } from "node:fs";

interface Box {
  inside: { value: number } | undefined;
}

function open(box: Box): number {
  return box.inside!.value;
}

console.log("arguments", process.argv.slice(2).join(","), process.env.MOOD);
console.log("files", readdirSync("/").join(","), readFileSync("/note.txt", "utf8").trim());
console.log("text", new TextDecoder().decode(new TextEncoder().encode("Grüße ☃ \u{1f600}")));
const bytes = crypto.getRandomValues(new Uint8Array(16));
console.log("random", bytes.length, new Set(bytes).size > 4, Math.random() !== Math.random());
console.log("url", new URL("../c?d=e", "http://host:8080/a/b").href);

const order: string[] = [];
setTimeout(() => order.push("timer"), 1);
setImmediate(() => order.push("immediate"));
void Promise.resolve().then(() => order.push("job"));
order.push("now");
const before = performance.now();
await new Promise((resolve) => setTimeout(resolve, 100));
const waited = performance.now() - before;
console.log("order", order.join(","), waited >= 100);

const how = process.argv.at(-1);
if (how === "throw") setTimeout(() => console.log(open({ inside: undefined })), 1);
if (how === "reject") await Promise.reject(new RangeError("as asked"));
if (how === "status") process.exit(3);
if (how === "memory") for (const kept: Uint8Array[] = []; ;) kept.push(new Uint8Array(1 << 16).fill(kept.length));
if (how === "stack")
  (function deeper(n: number): number {
    return deeper(n + 1) + 1;
  })(0);
if (how === "forgotten") void (async () => Promise.reject(new RangeError("nobody hears")))();
if (how === "handled") {
  const late = Promise.reject(new Error("heard late"));
  await Promise.resolve();
  await late.catch((error: Error) => console.log(error.message));
  process.on("unhandledRejection", (reason) => console.log("unhandled", reason));
  void Promise.reject("a reason");
}
