// Appends the lines of a file durably, and tails them with a stream, in Node's event loop.
//
//     npm ci && node lines.js DIRECTORY FILE
//
// Needs libwaldo where the loader finds it (LD_LIBRARY_PATH, ldconfig).

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { CURSOR_TIP, Store } from './waldo.js';

const LINES_PER_APPEND = 64;
const APPENDS_UNDER_WAY = 16;

// The lines of a file, several at a time.
async function* batches(path) {
  let rest = Buffer.alloc(0);
  let lines = [];
  for await (const block of createReadStream(path)) {
    rest = Buffer.concat([rest, block]);
    for (let end; (end = rest.indexOf(10) + 1) > 0; rest = rest.subarray(end)) {
      lines.push(rest.subarray(0, end));
      if (lines.length === LINES_PER_APPEND) {
        yield lines;
        lines = [];
      }
    }
  }
  if (rest.length > 0) lines.push(rest);
  if (lines.length > 0) yield lines;
}

// Appends a file; answers how many milliseconds each append took.
async function appendFile(store, path) {
  const latencies = [];
  const underWay = [];
  const append = async (lines) => {
    const start = performance.now();
    await store.append(lines, { durable: true });
    latencies.push(performance.now() - start);
  };
  for await (const lines of batches(path)) {
    underWay.push(append(lines));
    if (underWay.length === APPENDS_UNDER_WAY) await underWay.shift();
  }
  await Promise.all(underWay);
  return latencies.sort((a, b) => a - b);
}

// Reads a stream until its store is closed; answers its lines, their bytes and SHA-256.
async function tail(stream) {
  const digest = createHash('sha256');
  let lines = 0;
  let size = 0;
  for await (const logs of stream) {
    for (const { data } of logs) {
      lines += 1;
      size += data.length;
      digest.update(data);
    }
  }
  return { lines, size, digest: digest.digest('hex') };
}

async function main(directory, path) {
  const store = await Store.open(directory, { file_capacity: 16 * 1024 * 1024 });
  const tailing = tail(store.stream(CURSOR_TIP));
  const start = performance.now();
  const latencies = await appendFile(store, path);
  const seconds = (performance.now() - start) / 1e3;
  await store.close();
  const { lines, size, digest } = await tailing;
  const rate = size / 1e6 / seconds;
  console.log(`appended ${(size / 1e6).toFixed(2)} MB in ${seconds.toFixed(2)} s: ${rate.toFixed(1)} MB/s`);
  if (latencies.length > 0) {
    const [median, worst] = [latencies[latencies.length >> 1], latencies.at(-1)];
    console.log(`durable after ${median.toFixed(2)} ms (median), ${worst.toFixed(2)} ms (longest)`);
  }
  console.log(`tailed ${lines} lines, ${size} bytes, SHA-256 ${digest}`);
}

if (process.argv.length !== 4) {
  console.error('usage: node lines.js DIRECTORY FILE');
  process.exit(2);
}
await main(process.argv[2], process.argv[3]);
