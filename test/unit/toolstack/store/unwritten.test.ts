/** Nodes of new domains, which are written at the first change. */
import test from "ava";
import { LabClient, StoreLab } from "./store-lab.ts";

const OK = "OK\0";

const UNWRITTEN_ABOVE = ["/local/domain", "/vm"];

/** Adds a domain whose nodes are written at the first change. */
function addUnwritten(lab: StoreLab, domain: number): void {
  const home = `/local/domain/${domain}`;
  const vm = `/vm/${domain}`;
  const readable = [
    { domain: 0, access: 0 },
    { domain, access: 1 },
  ];
  lab.store.addDomain(domain, {
    directories: UNWRITTEN_ABOVE,
    tops: () => [home, vm],
    branches: () => [
      [
        String(domain),
        "",
        readable,
        [
          ["name", `n${domain}`, readable],
          ["data", "", [{ domain, access: 0 }]],
        ],
      ],
      [String(domain), "", readable],
    ],
  });
}

/** Of the domains from 2 to 8, those whose nodes are written. */
function written(lab: StoreLab): number[] {
  return [2, 3, 4, 5, 6, 7, 8].filter(
    (domain) => lab.store.tree.domain(domain) !== undefined && lab.store.populated(domain),
  );
}

test("what there is of a new domain is shown to who looks at it, and written when it is changed, and no other's", (t) => {
  const lab = new StoreLab();
  lab.local.write("/vm", "");
  const a = lab.guest(1);
  for (let domain = 2; domain < 8; domain++) addUnwritten(lab, domain);
  t.is(a.read("data"), "");
  t.is(a.read("/local/domain/1"), "");
  t.is(a.read("/local/domain/2/name"), "!EACCES");
  t.is(a.read("/local/domain/2/none"), "!EACCES");
  t.is(lab.zero.read("/vm/3"), "");
  t.is(lab.zero.read("/local/domain/4/name"), "n4");
  t.is(lab.zero.list("/local/domain/4"), "name\0data\0");
  t.is(lab.zero.list("/local/domain/4/name"), "");
  t.is(lab.zero.perms("/local/domain/4/data"), "n4\0");
  t.is(lab.zero.read("/local/domain/4/name/none"), "!ENOENT");
  t.is(lab.zero.read("/local/domain/4/nam"), "!ENOENT");
  t.is(lab.zero.read("/local/domain/44"), "!ENOENT");
  t.deepEqual(written(lab), []);
  t.is(a.write("/local/domain/2/name", ""), "!EACCES");
  t.is(lab.zero.write("/vm/3", "x"), OK);
  t.is(lab.zero.rm("/local/domain/4/name"), OK);
  t.is(lab.zero.list("/local/domain/4"), "data\0");
  t.is(lab.zero.read("/vm/3"), "x");
  t.deepEqual(written(lab), [2, 3, 4]);
  t.is(lab.zero.list("/local/domain"), "1\0" + "2\0" + "3\0" + "4\0" + "5\0" + "6\0" + "7\0");
  t.is(lab.zero.list("/vm"), "2\0" + "3\0" + "4\0" + "5\0" + "6\0" + "7\0");
  addUnwritten(lab, 8);
  lab.store.removeDomain(8);
  lab.store.removeDomain(7);
  t.deepEqual(written(lab), [2, 3, 4], "their names are not their nodes");
  t.is(lab.zero.list("/vm"), "2\0" + "3\0" + "4\0" + "5\0" + "6\0", "one that has gone before leaves nothing");
  t.deepEqual(
    [...lab.local.walk("/vm")].map(({ path }) => path),
    ["/vm", "/vm/2", "/vm/3", "/vm/4", "/vm/5", "/vm/6"],
  );
  t.deepEqual(lab.wrong(), []);
});

test("a guest sees its own nodes, writes what is its own, and hears nothing of the others' being written", (t) => {
  const lab = new StoreLab();
  lab.local.write("/vm", "");
  addUnwritten(lab, 2);
  const b = new LabClient(lab, 2);
  t.is(b.watch("/local/domain/2", "w"), OK);
  t.deepEqual(b.heard(), ["/local/domain/2 w"]);
  t.is(b.read("name"), "n2");
  t.is(b.read("data"), "");
  t.deepEqual(written(lab), []);
  t.is(b.write("data", "d"), OK);
  t.deepEqual(written(lab), [2]);
  t.deepEqual(b.heard(), ["/local/domain/2/data w"]);
  t.is(b.read("name"), "n2");
  t.is(b.read("data"), "d");
  t.deepEqual(lab.wrong(), []);
});

test("what a transaction has seen of nodes that are not written is the same at its end", (t) => {
  const lab = new StoreLab();
  lab.local.write("/vm", "");
  addUnwritten(lab, 2);
  const b = new LabClient(lab, 2);
  const one = b.start();
  t.is(b.read("data", one), "");
  t.is(b.write("data", "d"), OK);
  t.is(b.read("data", one), "");
  t.is(b.end(one), "!EAGAIN");
  const two = b.start();
  t.is(b.read("name", two), "n2");
  t.is(b.end(two), OK);
});
