// Drives the reference implementation of Negentropy V1 by lines, for vectors and cross-checks:
//
//     node negentropy_reference.js <path of the reference's Negentropy.js>
//
//     set <frame bytes> [<time> <digest>]...   begin with another set; no answer
//     initiate                                 <message>
//     reconcile <message>                      <message or -> <have or -> <need or ->
//
// Messages and digests are hexadecimal, lists of digests joined by commas. The reference's numbers
// are of 32 bits, so times have to be below 2^31.
const path = require("path");
const readline = require("readline");
const { Negentropy, NegentropyStorageVector } = require(path.resolve(process.argv[2]));

let talk;

async function answer(command, words) {
  if (command === "set") {
    const items = new NegentropyStorageVector();
    for (let at = 1; at < words.length; at += 2) items.insert(Number(words[at]), words[at + 1]);
    items.seal();
    talk = new Negentropy(items, Number(words[0]));
    return null;
  }
  if (command === "initiate") return talk.initiate();
  const [message, have, need] = await talk.reconcile(words[0]);
  return [message, have.join(","), need.join(",")].map((part) => part || "-").join(" ");
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [command, ...words] = line.split(" ");
    const said = await answer(command, words);
    if (said !== null) process.stdout.write(said + "\n");
  }
}

main();
