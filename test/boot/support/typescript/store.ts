/** Writes numbered files to the volume, and says after each that it was answered; with `check`: what is there. */
import fs from "node:fs";
import fsp from "node:fs/promises";

const [what] = process.argv.slice(2);
const content = (n: number) => `${n} `.repeat(2000);

if (what === "check") {
  const count = Number(fs.readFileSync("/data/count", "utf8"));
  const log = fs.readFileSync("/data/log", "utf8").trimEnd().split("\n");
  const whole = fs.readdirSync("/data/files").every((name) => {
    const text = fs.readFileSync(`/data/files/${name}`, "utf8");
    return text === content(Number(text.split(" ")[0]));
  });
  console.log(`found ${count}, log ${log.length} lines ending with ${log.at(-1)}, files ${whole ? "whole" : "BROKEN"}`);
} else {
  fs.mkdirSync("/data/files", { recursive: true });
  // What was written last may not have been answered, and so not be counted.
  let n = fs.existsSync("/data/log") ? fs.readFileSync("/data/log", "utf8").trimEnd().split("\n").length : 0;
  for (;;) {
    n++;
    fs.writeFileSync("/data/files/new", content(n));
    fs.renameSync("/data/files/new", `/data/files/${n % 10}`);
    fs.appendFileSync("/data/log", `line ${n}\n`);
    await fsp.writeFile("/data/count.new", String(n));
    await fsp.rename("/data/count.new", "/data/count");
    console.log(`answered ${n}`);
  }
}
