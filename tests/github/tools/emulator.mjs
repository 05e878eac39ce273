// Runs the emulator of GitHub's API on a free port, and does as it is told on its standard input.
//
//   node emulator.mjs NODE_MODULES < one JSON object a line: first the seed, then {} for a reset,
//   or {"now": milliseconds since 1970, null for the real time}
//
// It answers each line with one line of JSON.
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

// What the emulator takes for the time can be set, for tests in virtual time.
const RealDate = Date;
let told;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [told ?? RealDate.now()]));
  }
  static now() {
    return told ?? RealDate.now();
  }
};

const { createEmulator } = await import(
  pathToFileURL(`${process.argv[2]}/emulate/dist/api.js`).href
);

const freePort = () =>
  new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

let emulator;
for await (const line of createInterface({ input: process.stdin })) {
  if (emulator === undefined) {
    const port = await freePort();
    emulator = await createEmulator({ service: "github", port, seed: JSON.parse(line) });
    const keys = Object.fromEntries(emulator.generatedSecrets.map((key) => [key.id, key.value]));
    console.log(JSON.stringify({ port, keys }));
  } else if ("now" in JSON.parse(line)) {
    told = JSON.parse(line).now ?? undefined;
    console.log("{}");
  } else {
    emulator.reset();
    console.log("{}");
  }
}
process.exit(0);
