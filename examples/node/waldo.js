// Waldo for Node, on koffi and the C ABI: a module to copy and to change.
//
//     const store = await Store.open('journal', { ring_size: 8 });
//     const lastSeqNo = await store.append([Buffer.from('one')], { durable: true });
//     for await (const logs of store.stream()) console.log(logs[0].seqNo, logs[0].data);
//
// Nothing here blocks the event loop. Completions come through a callback queue: its own thread
// waits for them, looks for what streams may read next, and hands over whole batches, which koffi
// brings to the event loop. (A queue that is polled would have the loop's thread do that reading,
// and a blocking call would take one of the few threads that Node reads files with.)

import koffi from 'koffi';
import { AGAIN, CLOSED, Completion, CompletionFn, OK, WaldoErrorStruct, constants, lib } from './abi.js';

const DEPTH = 65536;
const { APPEND_DURABLE, CURSOR_TRIM } = constants;
export const { CURSOR_TIP, CURSOR_AFTER, CURSOR_FROM } = constants;
export { CURSOR_TRIM };

// Why a call failed: `code` is the name of the status, and waldo.h says what the numbers are.
export class WaldoError extends Error {
  constructor({ status, wanted, actual, message }) {
    const code = lib.status_name(status);
    super(`${code}: ${message ?? `wanted ${wanted}, actual ${actual}`}`);
    Object.assign(this, { name: 'WaldoError', code, status, wanted, actual });
  }
}

const error = Buffer.alloc(koffi.sizeof(WaldoErrorStruct));

function check(status) {
  if (status !== OK) throw new WaldoError(koffi.decode(error, WaldoErrorStruct));
}

// Operations that were submitted, by their user_data; and those that there was no room for, in
// their order.
const underWay = new Map();
const inLine = [];
let lastUserData = 0;
let queue = null;
// Keeps Node running while something is under way.
const alive = setInterval(() => {}, 2 ** 30).unref();
const nudge = setInterval(submitAll, 10).unref();

function onCompletions(_context, completions, count) {
  for (const done of koffi.decode(completions, Completion, Number(count))) {
    const { resolve, reject } = underWay.get(done.user_data);
    underWay.delete(done.user_data);
    const logs = done.chunk === null ? [] : readChunk(done.chunk);
    if (done.status === OK) resolve({ ...done, logs });
    else reject(new WaldoError({ ...done, message: undefined }));
  }
  submitAll();
}

// One queue for all stores; the callback stays for good.
function theQueue() {
  if (queue === null) {
    const out = [null];
    const callback = koffi.register(onCompletions, koffi.pointer(CompletionFn));
    check(lib.queue_new_callback(DEPTH, callback, null, out, error));
    [queue] = out;
  }
  return queue;
}

// Submits an operation as soon as there is room for it, behind those that wait already.
function submit(call, ...inputs) {
  return new Promise((resolve, reject) => {
    inLine.push({ call, inputs, resolve, reject });
    submitAll();
  });
}

function submitAll() {
  while (inLine.length > 0) {
    const { call, inputs, resolve, reject } = inLine[0];
    const userData = ++lastUserData;
    const status = call(...inputs, theQueue(), userData, error);
    if (status === AGAIN) break;
    inLine.shift();
    if (status === OK) underWay.set(userData, { resolve, reject });
    else reject(new WaldoError(koffi.decode(error, WaldoErrorStruct)));
  }
  underWay.size > 0 ? alive.ref() : alive.unref();
  // After a completion, as a rule; or a moment later, where others use the store as well.
  inLine.length > 0 ? nudge.ref() : nudge.unref();
}

// Copies the logs of a chunk to memory of JavaScript's, in one piece, and releases the chunk.
function readChunk(chunk) {
  const count = Number(lib.chunk_count(chunk));
  const described = new BigUint64Array(4 * count);
  lib.chunk_logs(chunk, 0, described, count);
  const len = [0];
  const start = lib.chunk_data(chunk, len);
  const bytes = start === null ? [] : koffi.decode(start, 'uint8_t', Number(len[0]));
  lib.chunk_release(chunk);
  const memory = Buffer.from(bytes);
  return Array.from({ length: count }, (_, at) => {
    const [seqNo, prevSeqNo, address, size] = described.subarray(4 * at, 4 * at + 4);
    const offset = Number(address - start);
    return { seqNo, prevSeqNo, data: memory.subarray(offset, offset + Number(size)) };
  });
}

// An open store.
export class Store {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  // Opens the store in a directory, or makes one there; `settings` are the options' names.
  static async open(path, settings = {}) {
    const out = [null];
    lib.options_new(out);
    try {
      for (const [key, value] of Object.entries(settings)) {
        check(lib.options_set(out[0], key, String(value), error));
      }
      const { store } = await submit(lib.open_async, path, out[0]);
      return new Store(store);
    } finally {
      lib.options_free(out[0]);
    }
  }

  // Appends payloads, which the store numbers, in the order of the calls; answers the number of
  // the last one. Wait for some of many: those for which there is no room stand in line here.
  async append(payloads, { durable = false } = {}) {
    let end = 0n;
    const ends = BigUint64Array.from(payloads, (payload) => (end += BigInt(payload.length)));
    const flags = durable ? APPEND_DURABLE : 0;
    const base = Buffer.concat(payloads);
    const { last_seq_no: last } = await submit(
      lib.append_packed_async, this.#handle, base, base.length, ends, ends.length, flags);
    return BigInt(last);
  }

  // Makes durable what was appended before.
  async sync() {
    await submit(lib.sync_async, this.#handle);
  }

  // Gives up the logs up to and with this number.
  async trim(upToSeqNo) {
    await submit(lib.trim_async, this.#handle, upToSeqNo);
  }

  // A reader that starts at a cursor and follows the log.
  stream(cursor = CURSOR_TRIM, seqNo = 0n) {
    const out = [null];
    check(lib.stream_new(this.#handle, cursor, seqNo, 0, out, error));
    return new Stream(out[0]);
  }

  // Finishes what was submitted, and closes the store. Streams go on to the last log.
  async close() {
    await submit(lib.close_async, this.#handle);
    lib.release(this.#handle);
    this.#handle = null;
  }
}

// Arrays of logs, one after the other, as they come: `for await (const logs of stream)`. The loop
// ends where the store is closed, and releases the stream.
export class Stream {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  // The next logs; one call at a time. After WALDO_TRIMMED it can be used on.
  async next() {
    return (await submit(lib.stream_next_async, this.#handle)).logs;
  }

  // What waits is cancelled.
  release() {
    lib.stream_release(this.#handle);
    this.#handle = null;
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) yield await this.next();
    } catch (failure) {
      if (failure.status !== CLOSED) throw failure;
    } finally {
      this.release();
    }
  }
}
