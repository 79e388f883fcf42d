/** Requests about the store: as xenstore-ls, -read, -write and -rm. */
import * as v from "valibot";
import { optionalWord, short, switchOption, word } from "../argument.ts";
import { defineRequest } from "../request.ts";
import { printableValue, storeLines, storeListing } from "../results/store.ts";

const PATH = "absolute, or below /local/domain/0";

export const xenstoreListRequest = defineRequest({
  name: "xenstore-ls",
  summary: "show the nodes of the store",
  arguments: {
    path: optionalWord("PATH", PATH),
    full: short("f", switchOption("whole paths")),
    permissions: short("p", switchOption("who may read and write: n none, r, w, b both; the owner first")),
  },
  result: storeListing,
  lines: storeLines,
});

export const xenstoreReadRequest = defineRequest({
  name: "xenstore-read",
  summary: "show the value of a node",
  arguments: { path: word("PATH", PATH) },
  result: v.object({ value: v.string() }),
  lines: ({ value }) => [printableValue(value)],
});

export const xenstoreWriteRequest = defineRequest({
  name: "xenstore-write",
  summary: "write a node, making it where there is none",
  arguments: { path: word("PATH", PATH), value: word("VALUE", "") },
});

export const xenstoreRemoveRequest = defineRequest({
  name: "xenstore-rm",
  summary: "remove a node with all below it",
  arguments: { path: word("PATH", PATH) },
});
