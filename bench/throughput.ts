/**
 * `node bench/throughput.ts [--api v3] [--rooms N] [--clients N] [--seconds N] [--window N] [-- FLAGS of the server]`: first answers of
 * sliding sync or sync v3 a second, in front of a scripted homeserver, with the processor time of the load generator, the server and the
 * database apart.
 */

import { parseArgs } from "node:util";
import { startFakeHomeserver, v2 } from "../test/support/fake-homeserver.ts";
import { load } from "./load.ts";
import { V3, v3List } from "./measure.ts";
import { cpuMs, processTree } from "./processes.ts";
import { scriptedAccount } from "./scripted-account.ts";
import { withServer } from "./servers.ts";
import { listBody, PATH } from "./sliding.ts";
import { percentile } from "./stats.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    api: { type: "string", default: "sliding" },
    rooms: { type: "string", default: "100" },
    clients: { type: "string", default: "1,10,50" },
    window: { type: "string", default: "20" },
    seconds: { type: "string", default: "5" },
  },
});

const homeserver = await startFakeHomeserver();
const token = homeserver.login("@bench:bench");
homeserver.queueSync(token, v2(scriptedAccount("@bench:bench", Number(values.rooms)).first));
await withServer(homeserver.url, positionals, async (url, pid) => {
  const path = `${values.api === "v3" ? V3 : PATH}?timeout=0`;
  const window = Number(values.window);
  const body = (client: number) => JSON.stringify(values.api === "v3" ? v3List(window) : listBody(`load-${client}`, window - 1));
  const ask = (seconds: number, clients: number) => load({ url, path, token, seconds, bodies: Array.from({ length: clients }, (_, i) => body(i)) });
  await ask(2, 1);
  for (const clients of values.clients.split(",").map(Number)) {
    const before = await cpuMs(await processTree(pid));
    const report = await ask(Number(values.seconds), clients);
    const after = await cpuMs(await processTree(pid));
    const per = (ms: number) => (ms / report.latencies.length).toFixed(2);
    process.stdout.write(
      `${clients} clients: ${report.perSecond.toFixed(0)}/s, p50 ${percentile(report.latencies, 50).toFixed(2)} ms, p99 ${percentile(report.latencies, 99).toFixed(2)} ms, ${report.bytes} bytes; ` +
        `CPU each: load generator ${per(report.cpuMs)} ms, server ${per(after.server - before.server)} ms, database ${per(after.database - before.database)} ms\n`,
    );
  }
});
await homeserver.stop();
