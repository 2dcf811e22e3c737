// Carries out conformance scripts through koffi: node runner.mjs SCRIPT...

import { readFileSync } from 'node:fs';
import * as abi from '../../../../examples/node/abi.js';

const { koffi, lib, constants } = abi;
const PATIENCE_S = 30;
const FOR_EVER = -1n;
// What outputs hold before a call, so that one that is not written is noticed.
const GARBAGE = 0x5a;
const GARBAGE_HANDLE = 0x5a5a5a5a5a5a5a5an;

// A step that does not answer what it must.
class Wrong extends Error {}

const statusName = (status) => lib.status_name(status);

function garbage(size) {
  return Buffer.alloc(size, GARBAGE);
}

// A payload, such as `a%2c` or `x*1000`.
function unescape(text) {
  const [unit, times = '1'] = text.split('*');
  const bytes = [];
  for (let at = 0; at < unit.length; at += 1) {
    const isEscaped = unit[at] === '%';
    bytes.push(isEscaped ? parseInt(unit.slice(at + 1, at + 3), 16) : unit.charCodeAt(at));
    if (isEscaped) at += 2;
  }
  return Buffer.concat(Array(Number(times)).fill(Buffer.from(bytes)));
}

function escape(payload) {
  const hex = (byte) => '%' + byte.toString(16).padStart(2, '0');
  const plain = (byte) => /[A-Za-z0-9_.-]/.test(String.fromCharCode(byte));
  return Array.from(payload, (byte) =>
    byte < 128 && plain(byte) ? String.fromCharCode(byte) : hex(byte)).join('');
}

function parseLogs(text) {
  return text.split(',').filter(Boolean).map((item) => {
    const [seqNo, prevSeqNo, payload] = item.split(':');
    return { seqNo: BigInt(seqNo), prevSeqNo: BigInt(prevSeqNo), payload: unescape(payload) };
  });
}

function formatLogs(logs) {
  return logs.map((log) => `${log.seqNo}:${log.prevSeqNo}:${escape(log.payload)}`).join(',');
}

// Memory that stays where it is, and is kept: the library may still use it.
function stable(payload) {
  const address = koffi.alloc('uint8_t', payload.length + 1);
  new Uint8Array(koffi.view(address, payload.length + 1)).set(payload);
  return address;
}

// The arguments of a step; each must be asked for.
class Arguments {
  constructor(words) {
    this.given = new Map(words.map((word) => {
      const at = word.indexOf('=');
      if (at < 0) throw new Wrong(`no argument: ${word}`);
      return [word.slice(0, at), word.slice(at + 1)];
    }));
    this.unasked = new Set(this.given.keys());
  }

  text(key) {
    this.unasked.delete(key);
    return this.given.get(key) ?? null;
  }

  // A number, or names of constants with | in between.
  number(key, otherwise = 0n, prefix = '') {
    const text = this.text(key);
    if (text === null) return otherwise;
    if (/^-?\d+$/.test(text)) return BigInt(text);
    return text.split('|').reduce((sum, name) => {
      if (!(prefix + name in constants)) throw new Wrong(`there is no constant ${name}`);
      return sum + BigInt(constants[prefix + name]);
    }, 0n);
  }
}

// A queue, and the completions that came out of it and were not asked for yet.
class Queue {
  taken = [];
  arrived = () => {};
  handle = null;

  constructor(isPolled) {
    this.isPolled = isPolled;
    this.onCompletions = (_context, completions, count) => {
      this.taken.push(...koffi.decode(completions, abi.Completion, Number(count)));
      this.arrived();
    };
  }

  async take(userData) {
    const deadline = Date.now() + PATIENCE_S * 1e3;
    for (;;) {
      const at = this.taken.findIndex((done) => BigInt(done.user_data) === userData);
      if (at >= 0) return this.taken.splice(at, 1)[0];
      if (Date.now() > deadline) throw new Wrong(`no completion has the user_data ${userData}`);
      if (this.isPolled) this.poll();
      else await this.someTime();
    }
  }

  poll() {
    const done = Buffer.alloc(koffi.sizeof(abi.Completion));
    const count = [0];
    lib.queue_wait(this.handle, done, 1, 1, PATIENCE_S * 1e9, count);
    if (Number(count[0]) === 1) this.taken.push(koffi.decode(done, abi.Completion));
  }

  // Lets the event loop run, which brings the callback, until that came or a second is over.
  someTime() {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000);
      this.arrived = () => (clearTimeout(timer), resolve());
    });
  }
}

// The handles of one script.
const handles = new Map();
const queues = new Map();

function handle(kind, a) {
  const name = a.text(kind) ?? 'NULL';
  if (name !== 'NULL' && !handles.has(`${kind} ${name}`)) throw new Wrong(`there is no ${kind} ${name}`);
  return handles.get(`${kind} ${name}`) ?? null;
}

function give(kind, a, value, status) {
  if ((status === 'WALDO_OK') !== (value !== null) || value === GARBAGE_HANDLE) {
    throw new Wrong(`${status} with the ${kind} ${value}`);
  }
  handles.set(`${kind} ${a.text(kind)}`, value);
}

// Calls a function that ends with a waldo_error, and checks what is in that.
function call(name, inputs, { mayAdvise = false } = {}) {
  const error = garbage(koffi.sizeof(abi.WaldoErrorStruct));
  const status = statusName(lib[name](...inputs, error));
  const found = koffi.decode(error, abi.WaldoErrorStruct);
  if (statusName(found.status) !== status) {
    throw new Wrong(`answers ${status}, but the error says ${found.status}`);
  }
  if ((status === 'WALDO_OK') !== (found.message === '') && !mayAdvise) {
    throw new Wrong(`answers ${status} with the message '${found.message}'`);
  }
  if (found.reserved.some((number) => number !== 0n)) throw new Wrong('reserved is not zero');
  return { ...found, status };
}

// Calls a function that gives out a handle.
function make(kind, a, name, inputs) {
  const out = garbage(8);
  const results = call(name, [...inputs, out]);
  give(kind, a, out.readBigUInt64LE() || null, results.status);
  return results;
}

function numberFrom(key, name, inputs) {
  const out = garbage(8);
  return { ...call(name, [...inputs, out]), [key]: out.readBigUInt64LE() };
}

// What blocking and asynchronous calls have in common: their first arguments.

const timeout = (a) => a.number('timeout_ns', FOR_EVER);
const store = (a) => [handle('store', a)];
const storeAndNumber = (a) => [handle('store', a), a.number('seq_no')];
const stream = (a) => [handle('stream', a)];

const place = (a) =>
  [handle('store', a), a.number('cursor', 0n, 'CURSOR_'), a.number('seq_no'), a.number('flags', 0n, 'QUERY_')];

function logs(a) {
  const given = parseLogs(a.text('logs') ?? '');
  const array = BigUint64Array.from(given.flatMap(({ seqNo, prevSeqNo, payload }) =>
    [seqNo, prevSeqNo, stable(payload), BigInt(payload.length)]));
  return [handle('store', a), array, given.length, a.number('flags', 0n, 'APPEND_')];
}

function packed(a) {
  const given = a.text('payloads');
  const once = given === null ? [] : given.split(',').map(unescape);
  const payloads = Array(Number(a.number('times', 1n))).fill(once).flat();
  let end = 0n;
  const ends = BigUint64Array.from(payloads, (payload) => (end += BigInt(payload.length)));
  const flags = a.number('flags', 0n, 'APPEND_');
  return [handle('store', a), stable(Buffer.concat(payloads)), end, ends, payloads.length, flags];
}

const operations = {
  open: (a) => [a.text('path'), handle('options', a)],
  close: store,
  append: logs,
  append_packed: packed,
  sync: store,
  trim: storeAndNumber,
  truncate: storeAndNumber,
  clear: store,
  query: place,
  stream_next: stream,
};

function newQueue(a, name, isPolled, inputs) {
  const queue = new Queue(isPolled);
  if (!isPolled) {
    inputs.push(koffi.register(queue.onCompletions, koffi.pointer(abi.CompletionFn)), null);
  }
  const results = make('queue', a, name, inputs);
  queue.handle = handle('queue', a);
  queues.set(a.text('queue'), queue);
  return results;
}

// Keeps completions that were taken out for `take`.
function keep(a, completions, count) {
  if (count > 0) {
    queues.get(a.text('queue')).taken.push(...koffi.decode(completions, abi.Completion, count));
  }
}

function structFrom(name, type, a) {
  const out = garbage(koffi.sizeof(type));
  const results = call(name, [handle('store', a), out, a.number('size', BigInt(out.length))]);
  return { ...results, ...koffi.decode(out, type) };
}

function numberOf(name, a) {
  const out = garbage(8);
  const status = statusName(lib[name](handle('store', a), out));
  return { status, value: out.readBigUInt64LE() };
}

function chunkLogs(chunk, first, capacity) {
  const array = new BigUint64Array(4 * Number(capacity));
  const count = Number(lib.chunk_logs(chunk, first, array, capacity));
  return Array.from({ length: count }, (_, at) => {
    const [seqNo, prevSeqNo, address, len] = array.subarray(4 * at, 4 * at + 4);
    return { seqNo, prevSeqNo, payload: bytesAt(address, len) };
  });
}

function bytesAt(address, len) {
  return len == 0 ? Buffer.alloc(0) : koffi.decode(address, 'uint8_t', Number(len));
}

const kinds = Object.keys(constants).filter((name) => name.startsWith('KIND_'));
const kindName = (kind) => kinds.find((name) => constants[name] === kind)?.slice('KIND_'.length);

const verbs = {
  version_number: () => ({ value: lib.version_number() }),
  version_string: () => ({ value: lib.version_string() }),
  abi_version: () => ({ value: lib.abi_version() }),
  probe: () => {
    const out = garbage(8);
    return { ...call('probe', [out], { mayAdvise: true }), features: out.readBigUInt64LE() };
  },
  status_name: (a) => ({ value: statusName(a.number('status')) }),
  status_traits: (a) => ({ value: lib.status_traits(a.number('status')) }),

  options_new: (a) => {
    const out = garbage(8);
    const status = statusName(lib.options_new(out));
    give('options', a, out.readBigUInt64LE() || null, status);
    return { status };
  },
  options_free: (a) => void lib.options_free(handle('options', a)),
  options_set: (a) => call('options_set', [handle('options', a), a.text('key'), a.text('value')]),
  options_set_u64: (a) => call('options_set_u64', [handle('options', a), a.text('key'), a.number('value')]),
  options_get: (a) => {
    const out = garbage(64);
    const results = call('options_get', [handle('options', a), a.text('key'), out, a.number('size', 64n)]);
    return { ...results, value: out.toString('utf8', 0, out.indexOf(0)) };
  },
  options_key: (a) => ({ value: lib.options_key(a.number('index')) ?? 'NULL' }),

  queue_new: (a) => newQueue(a, 'queue_new', true, [a.number('depth')]),
  queue_new_callback: (a) => newQueue(a, 'queue_new_callback', false, [a.number('depth')]),
  queue_fd: (a) => ({ value: lib.queue_fd(handle('queue', a)) }),
  queue_poll: (a) => {
    const capacity = Number(a.number('capacity'));
    const out = garbage(capacity * koffi.sizeof(abi.Completion));
    const count = Number(lib.queue_poll(handle('queue', a), out, capacity));
    keep(a, out, count);
    return { count };
  },
  queue_wait: (a) => {
    const capacity = Number(a.number('capacity'));
    const [out, taken] = [garbage(capacity * koffi.sizeof(abi.Completion)), garbage(8)];
    const status = lib.queue_wait(handle('queue', a), out, capacity, a.number('min'), timeout(a), taken);
    const count = Number(taken.readBigUInt64LE());
    keep(a, out, count);
    return { status: statusName(status), count };
  },
  queue_cancel: (a) => ({ status: statusName(lib.queue_cancel(handle('queue', a), a.number('user_data'))) }),
  queue_release: (a) => void lib.queue_release(handle('queue', a)),
  take: async (a) => {
    const done = await queues.get(a.text('queue')).take(a.number('user_data'));
    for (const kind of ['chunk', 'store']) {
      if (done[kind] !== null && a.text(kind) === null) {
        throw new Wrong(`the completion has a ${kind}, which the step does not name`);
      }
      handles.set(`${kind} ${a.text(kind)}`, done[kind]);
    }
    if (done.flags !== 0 || done.reserved.some((number) => number !== 0n)) {
      throw new Wrong('flags or reserved of the completion are not zero');
    }
    return { ...done, status: statusName(done.status), kind: kindName(done.kind) };
  },

  open: (a) => make('store', a, 'open', operations.open(a)),
  close: (a) => call('close', [...store(a), timeout(a)]),
  retain: (a) => void lib.retain(handle('store', a)),
  release: (a) => void lib.release(handle('store', a)),
  append: (a) => numberFrom('last_seq_no', 'append', logs(a)),
  append_packed: (a) => numberFrom('last_seq_no', 'append_packed', packed(a)),
  metadata_get: (a) => structFrom('metadata_get', abi.Metadata, a),
  recovery_get: (a) => structFrom('recovery_get', abi.Recovery, a),
  prev_seq_no: (a) => numberOf('prev_seq_no', a),
  durable_seq_no: (a) => numberOf('durable_seq_no', a),

  query: (a) => make('chunk', a, 'query', [...place(a), timeout(a)]),
  stream_new: (a) => make('stream', a, 'stream_new', place(a)),
  stream_next: (a) => make('chunk', a, 'stream_next', [...stream(a), timeout(a)]),
  stream_position: (a) => ({ value: lib.stream_position(handle('stream', a)) }),
  stream_seek: (a) => call('stream_seek', [handle('stream', a), a.number('seq_no')]),
  stream_release: (a) => void lib.stream_release(handle('stream', a)),
  stream_read: (a) => {
    const count = Number(a.number('count'));
    const found = [];
    while (found.length < count) {
      const out = garbage(8);
      const { status } = call('stream_next', [...stream(a), PATIENCE_S * 1e9, out]);
      if (status !== 'WALDO_OK') throw new Wrong(`stream_next answers ${status}`);
      // A chunk may hold more.
      const chunk = out.readBigUInt64LE();
      found.push(...chunkLogs(chunk, 0, count - found.length));
      lib.chunk_release(chunk);
    }
    return { logs: formatLogs(found) };
  },

  chunk_count: (a) => ({ value: lib.chunk_count(handle('chunk', a)) }),
  chunk_logs: (a) => {
    const found = chunkLogs(handle('chunk', a), a.number('first'), a.number('capacity'));
    return { count: found.length, logs: formatLogs(found) };
  },
  chunk_data: (a) => {
    const out = garbage(8);
    const start = lib.chunk_data(handle('chunk', a), out);
    const len = out.readBigUInt64LE();
    if (start === null && len !== 0n) throw new Wrong(`${len} bytes at NULL`);
    return { len, data: escape(bytesAt(start, len)) };
  },
  chunk_retain: (a) => void lib.chunk_retain(handle('chunk', a)),
  chunk_release: (a) => void lib.chunk_release(handle('chunk', a)),
};

async function step(verb, a) {
  const submitted = verb.replace(/_async$/, '');
  let results;
  if (verb in verbs) {
    results = await verbs[verb](a);
  } else if (submitted in operations) {
    const inputs = operations[submitted](a);
    if (verb !== submitted) inputs.push(handle('queue', a), a.number('user_data'));
    results = call(verb, inputs);
  } else {
    throw new Wrong(`there is no verb ${verb}`);
  }
  if (a.unasked.size > 0) throw new Wrong(`${verb} has no arguments ${[...a.unasked].join(', ')}`);
  return results ?? {};
}

function holds(key, actual, operator, wanted) {
  if (operator === '>') return BigInt(actual) > BigInt(wanted);
  if (operator === '~') return actual.includes(wanted);
  return actual === (key === 'logs' ? formatLogs(parseLogs(wanted)) : wanted);
}

function compare(results, expected) {
  if ('status' in results && !expected.some((word) => word.startsWith('WALDO_'))) {
    throw new Wrong('the step does not say which status it expects');
  }
  for (const word of expected) {
    const found = (word.startsWith('WALDO_') ? `status=${word}` : word).match(/^(\w+)([=>~])(.*)$/);
    if (found === null) throw new Wrong(`cannot be compared: ${word}`);
    const [, key, operator, wanted] = found;
    if (!(key in results)) throw new Wrong(`there is no output ${key}`);
    if (!holds(key, String(results[key]), operator, wanted)) {
      throw new Wrong(`${key} is ${results[key]}, not ${operator}${wanted}`);
    }
  }
}

// Carries out a script; answers how many steps it has.
async function run(script) {
  handles.clear();
  queues.clear();
  let steps = 0;
  for (const [at, line] of readFileSync(script, 'utf8').split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [callPart, ...rest] = line.split('=>');
    const words = (text) => text.split(' ').filter(Boolean);
    const [verb, ...given] = words(callPart);
    try {
      compare(await step(verb, new Arguments(given)), words(rest.join('=>')));
    } catch (wrong) {
      if (!(wrong instanceof Wrong)) throw wrong;
      console.error(`${script}:${at + 1}: ${line}\n    ${wrong.message}`);
      process.exit(1);
    }
    steps += 1;
  }
  return steps;
}

let steps = 0;
for (const script of process.argv.slice(2)) steps += await run(script);
console.log(steps);
