// include/waldo.h for koffi: every struct, constant and function of libwaldo, and nothing else.
//
// Handles are BigInts, NULL is null. What a function does, who owns what, and which threads may call
// it is said in waldo.h. Outputs may be arrays and objects, which koffi fills, or Buffers.

import koffi from 'koffi';

export { koffi };

export const OK = 0, AGAIN = -3, CLOSED = -8;

export const constants = {
  KIND_OPEN: 1, KIND_CLOSE: 2, KIND_APPEND: 3, KIND_SYNC: 4, KIND_TRIM: 5,
  KIND_TRUNCATE: 6, KIND_CLEAR: 7, KIND_QUERY: 8, KIND_STREAM_NEXT: 9,
  APPEND_ASSIGN: 1, APPEND_ATOMIC: 2, APPEND_DURABLE: 4, APPEND_BORROW: 8,
  CURSOR_TRIM: 0, CURSOR_TIP: 1, CURSOR_AFTER: 2, CURSOR_FROM: 3,
  QUERY_WAIT: 1,
};

koffi.alias('waldo_status', 'int32_t');
for (const handle of ['waldo', 'waldo_options', 'waldo_queue', 'waldo_stream', 'waldo_chunk']) {
  koffi.opaque(handle);
}

export const WaldoErrorStruct = koffi.struct('waldo_error', {
  status: 'waldo_status',
  os_errno: 'int32_t',
  wanted: 'uint64_t',
  actual: 'uint64_t',
  reserved: koffi.array('uint64_t', 4),
  message: koffi.array('char', 256),
});

export const Log = koffi.struct('waldo_log', {
  seq_no: 'uint64_t',
  prev_seq_no: 'uint64_t',
  data: 'uint8_t *',
  len: 'uint64_t',
});

export const Completion = koffi.struct('waldo_completion', {
  user_data: 'uint64_t',
  kind: 'uint32_t',
  status: 'waldo_status',
  os_errno: 'int32_t',
  flags: 'uint32_t',
  first_seq_no: 'uint64_t',
  last_seq_no: 'uint64_t',
  count: 'uint64_t',
  wanted: 'uint64_t',
  actual: 'uint64_t',
  chunk: 'waldo_chunk *',
  store: 'waldo *',
  reserved: koffi.array('uint64_t', 2),
});

const numbers = (names) =>
  Object.fromEntries(names.trim().split(/\s+/).map((name) => [name, 'uint64_t']));

export const Metadata = koffi.struct('waldo_metadata', numbers(`
  after_seq_no prev_seq_no durable_seq_no log_count index_count disk_size index_size page_count
  pending_resets pending_appends pending_queries pending_fsyncs buffers_free buffers_detached
  read_memory_used waiting_streams log_size_limit batch_size_limit batch_count_limit`));

export const Recovery = koffi.struct('waldo_recovery', numbers(`
  created page_count sealed_page_count bytes_read log_count after_seq_no prev_seq_no dropped
  dropped_page dropped_offset dropped_frame_count cut cut_page cut_offset cut_after_seq_no
  quarantined_count duration_ns`));

export const CompletionFn = koffi.proto(
  'void waldo_completion_fn(void *context, const waldo_completion *completions, size_t count)');

// What all asynchronous calls end with, and what the appends begin with.
const submit = 'waldo_queue *queue, uint64_t user_data, _Out_ waldo_error *error';
const logs = 'waldo *store, const waldo_log *logs, size_t count, uint32_t flags';
const packed = 'waldo *store, const uint8_t *base, uint64_t len, const uint64_t *ends, size_t count, uint32_t flags';
const place = 'waldo *store, uint32_t cursor_kind, uint64_t seq_no, uint32_t flags';
const last = '_Out_ uint64_t *last_seq_no, _Out_ waldo_error *error';

const prototypes = `
  uint32_t version_number(void)
  const char *version_string(void)
  uint32_t abi_version(void)
  waldo_status probe(_Out_ uint64_t *features, _Out_ waldo_error *error)
  const char *status_name(waldo_status status)
  uint32_t status_traits(waldo_status status)
  waldo_status options_new(_Out_ waldo_options **options)
  void options_free(waldo_options *options)
  waldo_status options_set(waldo_options *options, const char *key, const char *value, _Out_ waldo_error *error)
  waldo_status options_set_u64(waldo_options *options, const char *key, uint64_t value, _Out_ waldo_error *error)
  waldo_status options_get(const waldo_options *options, const char *key, _Out_ char *value, size_t size, _Out_ waldo_error *error)
  const char *options_key(size_t index)
  waldo_status queue_new(uint32_t depth, _Out_ waldo_queue **queue, _Out_ waldo_error *error)
  waldo_status queue_new_callback(uint32_t depth, waldo_completion_fn *callback, void *context, _Out_ waldo_queue **queue, _Out_ waldo_error *error)
  int queue_fd(const waldo_queue *queue)
  size_t queue_poll(waldo_queue *queue, _Out_ waldo_completion *completions, size_t capacity)
  waldo_status queue_wait(waldo_queue *queue, _Out_ waldo_completion *completions, size_t capacity, size_t min, int64_t timeout_ns, _Out_ size_t *count)
  waldo_status queue_cancel(waldo_queue *queue, uint64_t user_data)
  void queue_release(waldo_queue *queue)
  waldo_status open(const char *path, const waldo_options *options, _Out_ waldo **store, _Out_ waldo_error *error)
  waldo_status open_async(const char *path, const waldo_options *options, ${submit})
  waldo_status close(waldo *store, int64_t timeout_ns, _Out_ waldo_error *error)
  waldo_status close_async(waldo *store, ${submit})
  void retain(waldo *store)
  void release(waldo *store)
  waldo_status append(${logs}, ${last})
  waldo_status append_async(${logs}, ${submit})
  waldo_status append_packed(${packed}, ${last})
  waldo_status append_packed_async(${packed}, ${submit})
  waldo_status sync(waldo *store, _Out_ waldo_error *error)
  waldo_status sync_async(waldo *store, ${submit})
  waldo_status trim(waldo *store, uint64_t up_to_seq_no, _Out_ waldo_error *error)
  waldo_status trim_async(waldo *store, uint64_t up_to_seq_no, ${submit})
  waldo_status truncate(waldo *store, uint64_t after_seq_no, _Out_ waldo_error *error)
  waldo_status truncate_async(waldo *store, uint64_t after_seq_no, ${submit})
  waldo_status clear(waldo *store, _Out_ waldo_error *error)
  waldo_status clear_async(waldo *store, ${submit})
  waldo_status query(${place}, int64_t timeout_ns, _Out_ waldo_chunk **chunk, _Out_ waldo_error *error)
  waldo_status query_async(${place}, ${submit})
  waldo_status stream_new(${place}, _Out_ waldo_stream **stream, _Out_ waldo_error *error)
  waldo_status stream_next(waldo_stream *stream, int64_t timeout_ns, _Out_ waldo_chunk **chunk, _Out_ waldo_error *error)
  waldo_status stream_next_async(waldo_stream *stream, ${submit})
  uint64_t stream_position(const waldo_stream *stream)
  waldo_status stream_seek(waldo_stream *stream, uint64_t seq_no, _Out_ waldo_error *error)
  void stream_release(waldo_stream *stream)
  size_t chunk_count(const waldo_chunk *chunk)
  size_t chunk_logs(const waldo_chunk *chunk, size_t first, _Out_ waldo_log *logs, size_t capacity)
  void *chunk_data(const waldo_chunk *chunk, _Out_ size_t *len)
  void chunk_retain(waldo_chunk *chunk)
  void chunk_release(waldo_chunk *chunk)
  waldo_status metadata_get(const waldo *store, _Out_ waldo_metadata *metadata, size_t size, _Out_ waldo_error *error)
  waldo_status recovery_get(const waldo *store, _Out_ waldo_recovery *recovery, size_t size, _Out_ waldo_error *error)
  waldo_status prev_seq_no(const waldo *store, _Out_ uint64_t *seq_no)
  waldo_status durable_seq_no(const waldo *store, _Out_ uint64_t *seq_no)`;

const library = koffi.load(process.env.WALDO_LIBRARY ?? 'libwaldo.so.0');

// The functions by their names without `waldo_`: `lib.append_async(...)`.
export const lib = {};
for (const prototype of prototypes.trim().split('\n')) {
  const [, name] = prototype.match(/(\w+)\(/);
  lib[name] = library.func(prototype.replace(/(\w+)\(/, 'waldo_$1('));
}
if (lib.abi_version() !== 0) {
  throw new Error(`libwaldo has ABI ${lib.abi_version()}; this module is for ABI 0`);
}
