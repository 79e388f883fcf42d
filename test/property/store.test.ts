/**
 * Any interleaving of clients and transactions has the same effect as the committed transactions one after the other, each
 * at the moment of its commit: what they read is what they would have read there. And quotas and accounts hold throughout.
 */
import test from "ava";
import fc from "fast-check";
import { MAX_NODES, MAX_TRANSACTIONS } from "../../toolstack/control/store/quota.ts";
import { StoreLab, type LabClient } from "../unit/toolstack/store/store-lab.ts";

const NAMES = ["a", "b", "a/c", "a/d", "b/e", "a/c/f"];

interface Step {
  kind: "read" | "list" | "write" | "mkdir" | "rm" | "perms" | "start" | "commit" | "abort";
  domain: number;
  /** Whose nodes. */
  home: number;
  name: string;
  value: string;
  /** Which open transaction: 0 none. */
  slot: number;
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom("read", "list", "write", "write", "mkdir", "rm", "perms", "start", "start", "commit", "abort"),
  domain: fc.constantFrom(1, 2),
  home: fc.constantFrom(1, 2),
  name: fc.constantFrom(...NAMES),
  value: fc.constantFrom("x", "y", "zz"),
  slot: fc.constantFrom(0, 1, 1, 2),
});

/** Two domains that share their nodes with each other. */
function lab(): StoreLab {
  const made = new StoreLab();
  for (const id of [1, 2]) made.guest(id).setPerms("data", `n${id}`);
  for (const id of [1, 2]) made.clients.get(id)!.setPerms("data", `b${id}`);
  return made;
}

function act(client: LabClient, { kind, home, name, value }: Step, transaction: number): string {
  const path = `/local/domain/${home}/data/${name}`;
  switch (kind) {
    case "read":
      return client.read(path, transaction);
    case "list":
      return client.list(path, transaction);
    case "write":
      return client.write(path, value, transaction);
    case "mkdir":
      return client.mkdir(path, transaction);
    case "rm":
      return client.rm(path, transaction);
    default:
      return client.perms(path, transaction);
  }
}

/** Every node as text. */
function picture(of: StoreLab): string {
  return [...of.local.walk("/")]
    .map(({ path, node }) => `${path}=${node.data} ${JSON.stringify(node.permissions)}`)
    .sort()
    .join("\n");
}

test("transactions are serialisable", (t) => {
  let commits = 0;
  let conflicts = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80, size: "max" }), (steps) => {
      const real = lab();
      const model = lab();
      /** Open transactions with what was done in them and what it gave. */
      const open: { domain: number; id: number; log: { step: Step; answer: string }[] }[] = [];
      for (const each of steps) {
        const client = real.clients.get(each.domain)!;
        const mine = open.filter(({ domain }) => domain === each.domain);
        const chosen = mine[each.slot - 1];
        if (each.kind === "start") {
          const id = client.start();
          if (mine.length < MAX_TRANSACTIONS !== id > 0) return false;
          if (id > 0) open.push({ domain: each.domain, id, log: [] });
        } else if (each.kind === "commit" || each.kind === "abort") {
          const ending = chosen ?? mine[0];
          if (ending === undefined) continue;
          open.splice(open.indexOf(ending), 1);
          const answer = client.end(ending.id, each.kind === "commit" ? "T" : "F");
          if (answer === "!EAGAIN") conflicts++;
          else if (answer !== "OK\0") return false;
          if (each.kind === "abort" || answer !== "OK\0") continue;
          commits++;
          const replayer = model.clients.get(each.domain)!;
          const id = replayer.start();
          for (const { step: logged, answer: was } of ending.log) if (act(replayer, logged, id) !== was) return false;
          if (replayer.end(id) !== "OK\0") return false;
        } else if (chosen !== undefined) {
          chosen.log.push({ step: each, answer: act(client, each, chosen.id) });
        } else if (act(client, each, 0) !== act(model.clients.get(each.domain)!, each, 0)) {
          return false;
        }
        if (real.wrong().length > 0) return false;
        if ([1, 2].some((id) => real.store.tree.domain(id)!.account.nodes > MAX_NODES)) return false;
      }
      return picture(real) === picture(model);
    }),
    { seed: 1, numRuns: 500 },
  );
  t.log(`${commits} commits, ${conflicts} conflicts`);
  t.true(commits > 500 && conflicts > 20, `${commits} commits, ${conflicts} conflicts`);
});
