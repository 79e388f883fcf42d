/** A command line up to the cursor, in words as a shell reads them. */

/** The last word may be empty, or have a quote that is still open. Nothing is expanded. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  let word = "";
  let begun = false;
  let quote = "";
  for (let i = 0; i < line.length; i++) {
    const c = line[i]!;
    if (c === "\\" && quote !== "'" && i + 1 < line.length) {
      word += line[++i];
      begun = true;
    } else if (quote !== "") {
      if (c === quote) quote = "";
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      begun = true;
    } else if (/\s/.test(c)) {
      if (begun) words.push(word);
      word = "";
      begun = false;
    } else {
      word += c;
      begun = true;
    }
  }
  words.push(word);
  return words;
}
