/** Valibot schemas in TypeScript's notation, for the reference page; what the notation cannot say is a comment. */
import type { GenericSchema } from "valibot";

/** What is looked at of a schema: Valibot's own objects (https://valibot.dev/guides/internal-architecture). */
interface Inside {
  type: string;
  entries?: Record<string, Inside>;
  item?: Inside;
  wrapped?: Inside;
  options?: unknown[];
  key?: Inside;
  value?: Inside;
  pipe?: (Inside | { kind: string; type: string; requirement?: unknown; description?: string })[];
}

/** A schema's actions, behind the schema itself; it may have some of its own. */
function actionsOf({ pipe = [] }: Inside): NonNullable<Inside["pipe"]> {
  const [first, ...more] = pipe;
  return first !== undefined && "pipe" in first ? [...actionsOf(first), ...more] : pipe;
}

/** What the actions behind a schema demand, in words. */
function demands(schema: Inside): string[] {
  const pipe = actionsOf(schema);
  const words: string[] = [];
  const bound = (type: string) => pipe.find((action) => action.type === type) as { requirement?: number } | undefined;
  const range = (least: number | undefined, most: number | undefined, what: string) => {
    if (least === undefined && most === undefined) return;
    const limits =
      least === undefined ? `at most ${most}` : most === undefined ? `at least ${least}` : `${least} to ${most}`;
    words.push(`${limits}${what}`);
  };
  if (bound("integer") !== undefined) words.push("whole");
  range(bound("min_value")?.requirement, bound("max_value")?.requirement, "");
  const what = pipe[0]?.type === "array" ? " of them" : " characters";
  range(bound("min_length")?.requirement, bound("max_length")?.requirement, what);
  for (const action of pipe) if ("description" in action) words.push(action.description!);
  return words;
}

interface Text {
  text: string;
  comments: string[];
}

const isPlain = (text: string) => /^(\w+|\{[^]*\})$/.test(text);

function write(schema: Inside, indent: string): Text {
  const comments = demands(schema);
  const withMore = (inner: Text, text: string) => ({ text, comments: [...inner.comments, ...comments] });
  switch (schema.type) {
    case "string":
    case "number":
    case "boolean":
    case "void":
      return { text: schema.type, comments };
    case "picklist":
      return { text: schema.options!.map((option) => JSON.stringify(option)).join(" | "), comments };
    case "optional":
      return write(schema.wrapped!, indent);
    case "nullable": {
      const inner = write(schema.wrapped!, indent);
      return withMore(inner, `${inner.text} | null`);
    }
    case "array": {
      const inner = write(schema.item!, indent);
      return withMore(inner, `${isPlain(inner.text) ? inner.text : `(${inner.text})`}[]`);
    }
    case "record": {
      const inner = write(schema.value!, indent);
      return withMore(inner, `{ [key: string]: ${inner.text} }`);
    }
    case "union": {
      const parts = (schema.options as Inside[]).map((option) => write(option, indent));
      return { text: parts.map(({ text }) => text).join(" | "), comments };
    }
    case "object":
    case "strict_object":
      return { text: object(schema.entries!, indent), comments };
    default:
      throw new Error(`the page has no notation for a schema of type ${schema.type}`);
  }
}

function object(entries: Record<string, Inside>, indent: string): string {
  const lines = Object.entries(entries).map(([key, schema]) => {
    const { text, comments } = write(schema, `${indent}  `);
    const comment = comments.length === 0 ? "" : ` // ${comments.join(", ")}`;
    return `${indent}  ${key}${schema.type === "optional" ? "?" : ""}: ${text};${comment}\n`;
  });
  return lines.length === 0 ? "{}" : `{\n${lines.join("")}${indent}}`;
}

/** A schema as TypeScript would have its type. @throws Error for a kind of schema that is not known here */
export function schemaText(schema: GenericSchema): string {
  const { text, comments } = write(schema as unknown as Inside, "");
  return comments.length === 0 ? text : `${text} // ${comments.join(", ")}`;
}
